"""T5's encoder (version 1.1, any size): prompts to vectors, with SentencePiece."""
