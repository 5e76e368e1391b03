"""How the study's tables came to be, step by step."""
