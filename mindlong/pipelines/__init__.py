"""From noise to video."""
