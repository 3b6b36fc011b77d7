"""Data sets: embedded digits, MNIST and its relatives from IDX files, CIFAR-10, and one's own pictures and tables."""

from ._cifar_files import read_cifar10
from ._dataset import Dataset
from ._download import CHECKSUMS, MIRRORS, fetch
from ._gz_files import find_gz
from ._idx_files import FILES, read_idx
from ._loading import EMBEDDED, NAMES, find, load, search_path
from ._own_data import Shape, read_images
from ._pictures import INVERT, background_of, fit_images, read_picture

__all__ = [
    "CHECKSUMS", "EMBEDDED", "FILES", "INVERT", "MIRRORS", "NAMES", "Dataset", "Shape", "background_of", "fetch",
    "find", "find_gz", "fit_images", "load", "read_cifar10", "read_idx", "read_images", "read_picture", "search_path",
]  # fmt: skip
