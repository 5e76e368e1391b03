"""Realism: CLIP features of images and texts, and the linear score on top of them."""
