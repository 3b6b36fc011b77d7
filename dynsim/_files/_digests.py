"""Digests: what is read is what was written, or the part that is not is named."""

from __future__ import annotations

import hashlib

import numpy as np

from dynsim.errors import FileError

from ._attributes import attribute, expect_plain
from ._inputs import DAMAGE, damaged, string

DIGEST = "digest"  # the attribute of an HDF5 object


def digest(text, arrays=()):
    """Return the SHA-256 of a text and of arrays with their types and shapes, as hexadecimal digits.

    Examples
    --------
    >>> digest("config", [np.zeros(3)])[:8] == digest("config", [np.ones(3)])[:8]
    False
    """
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))  # of bytes that are no text, too
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return found.hexdigest()


def seal(item, *names):
    """Store the digest of an HDF5 object in it, to be called when it is complete.

    It covers the attributes of these names (without names: all), the numbers or the text of a dataset, and of one in
    chunks, whose numbers have checksums of HDF5's own, their type and the shape of a frame.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("sealed", "w", driver="core", backing_store=False) as file:
    ...     file.attrs["neurons"] = 3
    ...     seal(file, "neurons")
    ...     file.attrs["neurons"] = 2
    ...     expect_sealed(file, "neurons")
    Traceback (most recent call last):
    ...
    dynsim.errors.FileError: sealed: / is damaged (it is not what its digest says); restore it from a copy.
    """
    item.attrs[DIGEST] = np.bytes_(_digest_of(item, names))


def expect_sealed(item, *names):
    """Return an HDF5 object that agrees with its digest; files of 0.1.0 have none. Raises FileError for another."""
    where = f"{item.file.filename}: {item.name}"
    try:
        stored = attribute(item, DIGEST, None)
        changed = stored is not None and stored != _digest_of(item, names)
    except FileError:
        raise
    except DAMAGE as error:
        raise damaged(where, error) from error
    if changed:
        raise FileError(f"{where} is damaged (it is not what its digest says); restore it from a copy.")
    return item


def _digest_of(item, names):
    import h5py

    texts = [f"{name}={_text(attribute(item, name, None))}" for name in names or sorted(item.attrs) if name != DIGEST]
    if not isinstance(item, h5py.Dataset):
        return digest("\n".join(texts))
    if item.chunks is not None:
        return digest("\n".join([*texts, *map(str, (_type(item), item.shape[1:], item.chunks, item.fletcher32))]))
    if h5py.check_string_dtype(expect_plain(item).dtype):
        return digest("\n".join([*texts, item.asstr()[()]]))
    return digest("\n".join(texts), [np.asarray(item[()])])


def _text(value):
    """A value of an attribute as a text that tells values apart."""
    if isinstance(value, bytes | str):
        return string(value)
    array = np.asarray(value)
    if array.dtype.hasobject:
        return "\n".join(string(part) if isinstance(part, bytes) else str(part) for part in array.ravel())
    return f"{array.dtype.str}{array.shape}{array.tobytes().hex()}"


def _type(item):
    """How the bytes of a number are read: another exponent is another number."""
    import h5py

    kind = item.id.get_type()
    facts = [kind.get_size(), kind.get_order(), kind.get_precision(), kind.get_offset()]
    if isinstance(kind, h5py.h5t.TypeFloatID):
        return [*facts, kind.get_fields(), kind.get_ebias(), kind.get_norm()]
    return [*facts, kind.get_sign()]
