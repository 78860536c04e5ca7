"""How good videos are: scores of shapes, edits, interpolation, long video; by CLIP; plots."""
