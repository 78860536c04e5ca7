"""The Resampler: an image encoder's tokens to those that a video network reads."""
