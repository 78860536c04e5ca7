"""The page: mindlong in a browser. Everything but `page/` and `serve.py` works without Gradio."""
