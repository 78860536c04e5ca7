"""Frames between key frames."""
