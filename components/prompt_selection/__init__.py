"""Which prompts reinforcement learning trains on: the least realistic ones (paper, section 4.3)."""
