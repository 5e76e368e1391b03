"""The Generated Materials data set: samples of the fine-tuned model, rendered (section 4.1)."""
