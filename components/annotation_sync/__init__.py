"""Stage: have images judged for realism and collect the judgements (paper, section 4.1)."""
