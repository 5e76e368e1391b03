"""The stages of RealMat, one folder each, and `core`, which they share."""
