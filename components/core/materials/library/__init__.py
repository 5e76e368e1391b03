"""Procedural materials of the paper's 16 categories, each with a caption that is true of it.

One module a category: `describe` draws a style in words, `paint` turns it into maps. The
`catalogue` module is the way in.
"""
