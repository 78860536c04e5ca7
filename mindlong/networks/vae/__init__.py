"""AutoencoderKL, between pixels and latents."""
