"""Labelling: where realism judgements come from (Label Studio, or a simulated annotator)."""
