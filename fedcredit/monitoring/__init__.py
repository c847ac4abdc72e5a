"""Watching a released model: how new records differ from those it was trained and judged on, from charged counts."""
