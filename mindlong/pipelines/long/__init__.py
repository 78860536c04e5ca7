"""Long videos as plans."""
