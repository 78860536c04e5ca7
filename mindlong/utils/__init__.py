"""Small helpers that know nothing of video, networks or MindSpore."""
