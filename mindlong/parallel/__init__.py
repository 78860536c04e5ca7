"""Several processes: communication and launching."""
