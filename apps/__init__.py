"""The web application: a demo of the registered model."""
