"""What carries a stage: typed artifacts, storage, tracking, progress, seeds."""
