"""What h5py reads of an attribute or a text: only what is of a type that dynsim writes.

HDF5 ends the program where it follows a text of which one wrong bit has made a list of any length, so the type is
looked at first.
"""

from __future__ import annotations

from dynsim.errors import FileError

from ._inputs import DAMAGE, damaged, string

_NEEDED = object()


def attribute(item, name, default=_NEEDED):
    """Return an attribute of an HDF5 object, bytes as text; `default`, where it is given, if there is none.

    Raises FileError for one that is neither a text nor whole numbers nor floats, that cannot be read, or that is
    missing.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("made", "w", driver="core", backing_store=False) as file:
    ...     file.attrs["neurons"], file.attrs["kind"] = 3, b"trajectory"
    ...     int(attribute(file, "neurons")), attribute(file, "kind"), attribute(file, "signals", None)
    (3, 'trajectory', None)
    """
    import h5py

    where = f"{item.file.filename}: {item.name}"
    try:
        if name not in item.attrs:
            if default is _NEEDED:
                raise FileError(f"{where} has no attribute {name}; the file is damaged.")
            return default
        kind = item.attrs.get_id(name).get_type()
        if not isinstance(kind, h5py.h5t.TypeStringID | h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID):
            raise _unexpected(where, f"attribute {name}", kind)
        return string(item.attrs[name])
    except FileError:
        raise
    except DAMAGE as error:
        raise damaged(where, error) from error


def expect_plain(data):
    """Return a dataset that is of texts or of numbers; raises FileError for one of lists or references."""
    import h5py

    kind = data.id.get_type()
    if data.dtype.hasobject and not isinstance(kind, h5py.h5t.TypeStringID):
        raise _unexpected(f"{data.file.filename}: {data.name}", "data", kind)
    return data


def _unexpected(where, what, kind):
    found = type(kind).__name__.removeprefix("Type").removesuffix("ID")
    return FileError(f"{where} has {what} of the type {found} instead of texts or numbers; the file is damaged.")
