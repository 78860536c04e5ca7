"""CogVideoX-2B's diffusion transformer, and its sibling that is given the first and last frame."""
