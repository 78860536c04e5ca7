"""BERT: captions and prompts to vectors, with WordPiece."""
