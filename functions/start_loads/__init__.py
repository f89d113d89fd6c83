"""Turns S3 notifications into executions of the load state machine."""
