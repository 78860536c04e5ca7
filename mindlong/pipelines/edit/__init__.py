"""A video changed by prompts (Tune-A-Video)."""
