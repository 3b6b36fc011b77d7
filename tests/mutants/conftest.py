"""A program of its own, no tests."""

collect_ignore = ["mutants.py"]
