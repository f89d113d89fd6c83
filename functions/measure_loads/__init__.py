"""Measures what became of loads, for dashboards and alarms."""
