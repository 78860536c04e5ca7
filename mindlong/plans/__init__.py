"""Which run makes which frames, and which frames a frame reads: pure tables. No MindSpore."""
