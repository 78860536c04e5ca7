"""The networks: one folder for each, with everything the house must know of it side by side."""
