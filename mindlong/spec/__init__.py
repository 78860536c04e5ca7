"""What a network is, as data: sizes, stages, names. No MindSpore."""
