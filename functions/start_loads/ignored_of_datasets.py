"""What datasets ignore beside ignored.py: `ignore` in their specs. `make datasets` writes this."""

# fmt: off
IGNORED_OF_DATASETS: dict[str, tuple[str, ...]] = {
}
