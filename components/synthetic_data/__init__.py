"""Stage: material variations, packed into grids with captions (paper section 4.1)."""
