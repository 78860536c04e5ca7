"""Operators with several implementations, and every workaround for one chip."""
