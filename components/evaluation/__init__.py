"""Stage: what reinforcement learning changed, measured on held-out prompts."""
