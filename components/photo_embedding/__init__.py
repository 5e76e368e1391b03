"""Stage: a photo database, or one part of it, as CLIP features (paper, section 4.1)."""
