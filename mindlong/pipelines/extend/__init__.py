"""An image or a video continued, run after run."""
