"""Data sets: embedded digits, and MNIST and its relatives from IDX files."""

from ._idx import read_idx
from ._load import EMBEDDED, FILES, NAMES, Dataset, load, search_path

__all__ = ["EMBEDDED", "FILES", "NAMES", "Dataset", "load", "read_idx", "search_path"]
