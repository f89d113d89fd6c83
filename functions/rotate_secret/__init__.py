"""Gives a database user of the warehouse a new password."""
