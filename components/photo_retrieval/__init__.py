"""Stage: search a photo database for material photographs by CLIP (paper, section 4.1)."""
