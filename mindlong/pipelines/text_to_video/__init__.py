"""Text to video in latents."""
