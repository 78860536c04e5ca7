"""Clips, captions and the synthetic shapes world."""
