"""Video from images: from one and a prompt, between two, loops."""
