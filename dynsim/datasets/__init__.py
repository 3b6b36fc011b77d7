"""Data sets: embedded digits, and MNIST and its relatives from IDX files."""

from ._fetch import CHECKSUMS, MIRRORS, fetch
from ._idx import read_idx
from ._load import EMBEDDED, FILES, NAMES, Dataset, find, load, search_path

__all__ = [
    "CHECKSUMS",
    "EMBEDDED",
    "FILES",
    "MIRRORS",
    "NAMES",
    "Dataset",
    "fetch",
    "find",
    "load",
    "read_idx",
    "search_path",
]
