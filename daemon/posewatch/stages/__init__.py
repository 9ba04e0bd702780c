"""One file for each thing that can be made of a video."""
