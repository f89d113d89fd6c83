"""Faults at the edges of the deployed pipeline, and an oracle that says what ought to be true."""
