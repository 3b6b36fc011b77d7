"""The door for safetensors: what is damaged is said in one sentence, and nothing is read before its size is known."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from dynsim.errors import DataError, FileError

LARGEST = 2**31  # bytes


def save_safetensors(tensors, path, metadata):
    """Write arrays and strings; raises ImportError if safetensors is not installed."""
    _package().numpy.save_file(tensors, str(path), metadata)


@contextmanager
def open_safetensors(path):
    """Give (metadata, tensors) of a file; `tensors[name]` is an array.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    FileNotFoundError
        If there is no such file.
    DataError, FileError
        If it is too large, or damaged; also where the block that reads it finds values that do not fit.
    """
    package, path = _package(), Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a model file.")
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: has {path.stat().st_size:,} bytes; expected a model of at most {LARGEST:,}.")
    try:
        with package.safe_open(str(path), "np") as file:
            yield file.metadata() or {}, _Tensors(file)
    except (DataError, FileError):
        raise
    except (package.SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{path}: damaged model ({error}); write it again.") from None


class _Tensors:
    """Arrays by name."""

    def __init__(self, file):
        self.file = file

    def __getitem__(self, name):
        return self.file.get_tensor(name)


def _package():
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError("Safetensors files need safetensors: pip install 'dynsim[export]'.") from None
    return safetensors
