"""The works that tools/benchmark.py times, one file for each peer."""
