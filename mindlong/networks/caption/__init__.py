"""The small caption encoder that is trained jointly with a pixel network."""
