"""Unet3D, the pixel-space network of Video Diffusion Models."""
