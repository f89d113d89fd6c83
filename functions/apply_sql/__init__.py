"""Applies the folder sql/ to the warehouse when the stack is deployed."""
