"""Compiled graphs kept from run to run, for inference on a CPU: `calls.call` is what others use."""
