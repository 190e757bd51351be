"""Doors for code that was written for other schedulers."""
