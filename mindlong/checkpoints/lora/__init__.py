"""Files of LoRAs (arXiv 2106.09685): reading every naming, merging, writing."""
