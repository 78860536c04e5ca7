"""CLIP and OpenCLIP: text encoder, image encoder, tokenizer."""
