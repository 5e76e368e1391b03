"""Stage 2 of the paper: DDPO on a LoRA adapter against the realism reward (sections 4.3 and 5)."""
