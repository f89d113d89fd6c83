"""Writes all that follows from sql/datasets/<dataset>/dataset.yaml; see docs/datasets.md."""
