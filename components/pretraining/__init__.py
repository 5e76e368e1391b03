"""Trains the small models that the project ships: a small SDXL and a small CLIP.

Both learn from nothing but the procedural library: its maps, renderings and captions.
`python -m components.pretraining --help` lists the steps; `make weights` runs them all.
"""
