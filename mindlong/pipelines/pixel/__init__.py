"""Text to video with Unet3D, in pixels."""
