"""Reading, writing and converting weights."""
