"""Data sets: embedded digits, and MNIST and its relatives from IDX files."""

from ._dataset import EMBEDDED, FILES, NAMES, Dataset, find, load, read_idx, search_path
from ._download import CHECKSUMS, MIRRORS, fetch

__all__ = [
    "CHECKSUMS", "EMBEDDED", "FILES", "MIRRORS", "NAMES", "Dataset", "fetch", "find", "load", "read_idx", "search_path",
]  # fmt: skip
