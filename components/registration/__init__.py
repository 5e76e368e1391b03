"""Stage: the trained generator in MLflow's model registry."""
