"""Stage 1 of the paper: all of the UNet learns material grids, through DeepSpeed."""
