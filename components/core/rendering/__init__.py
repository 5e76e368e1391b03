"""Physically based rendering: one live Mitsuba scene and the light that falls on it."""
