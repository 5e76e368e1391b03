"""The pipeline, its recipes, its two engines and the command line."""
