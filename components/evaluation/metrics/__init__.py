"""Measures of materials and of sets of features: arrays in, numbers out, one idea a module."""
