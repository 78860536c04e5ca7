"""One long video from clips denoised side by side (Video-Infinity)."""
