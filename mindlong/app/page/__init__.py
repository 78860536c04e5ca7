"""What the page shows, in Gradio's Blocks."""
