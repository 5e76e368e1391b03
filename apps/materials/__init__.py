"""The demo: materials from prompts, for people who look at them and take them away."""
