"""Stage: spread the judgements to all images by one linear classifier per set (section 4.1)."""
