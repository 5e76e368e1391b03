"""What a recipe's training stages need of a cluster's GPUs: `realmat plan`."""
