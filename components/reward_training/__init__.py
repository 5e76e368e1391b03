"""Stage: train the realism reward, MSE and total variation (paper, section 4.3)."""
