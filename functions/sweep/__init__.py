"""Finds what waits too long under raw/, and what ended loads have left behind."""
