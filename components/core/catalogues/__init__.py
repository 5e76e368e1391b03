"""Public catalogues of materials and environments, fetched into folders that the loaders read."""
