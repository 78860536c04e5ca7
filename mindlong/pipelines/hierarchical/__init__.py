"""Long video from coarse to fine, diffusion over diffusion (NUWA-XL)."""
