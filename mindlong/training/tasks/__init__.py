"""What is trained: one file per family."""
