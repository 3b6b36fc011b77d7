"""The command line: one file per command, thin."""

from ._root import main

__all__ = ["main"]
