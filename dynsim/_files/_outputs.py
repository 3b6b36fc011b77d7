"""Outputs: files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

from ._inputs import reason

_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))
_BROKEN = tuple(map(os.strerror, (errno.EIO, errno.EROFS)))


def expect_output(path, overwrite=True, *, source=None):
    """Refuse a path that cannot be written, before work is put into what would be written there; return it as a Path.

    `source` is the path of the file that is read for it, which must not be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is false, or it is the source.
    OSError
        If it is a directory, a device or a read-only file, or its folder is missing or cannot be written.

    Examples
    --------
    >>> expect_output("no-such-folder/run.h5")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no-such-folder is not a directory; make it before writing run.h5.
    """
    path = Path(path)
    folder = target_of(path).parent if path.is_symlink() else path.parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file in it.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file; give the path of one.")
    if source is not None and path.exists() and os.path.exists(source) and os.path.samefile(path, source):
        raise FileExistsError(f"{path} is the file that is read; choose another path for what is written.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another path, or overwrite it (overwrite=True, --overwrite).")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a directory; make it before writing {path.name}.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written by this user; choose another directory.")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is read-only; choose another path, or change its permissions.")
    return path


@contextmanager
def making_folder(path):
    """Make a folder, with those above it, for what the block writes there; one in which nothing was written goes again.

    Raises NotADirectoryError if there is something else of that name, or above it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "a/b"
    >>> with making_folder(folder):
    ...     folder.is_dir()
    True
    >>> folder.parent.exists()
    False
    """
    path = Path(path)
    places = (path, *path.parents)
    new = [place for place in places if not os.path.lexists(place)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        taken = next(place for place in places if os.path.lexists(place) and not place.is_dir())
        raise NotADirectoryError(f"{taken} is not a directory; choose another name for the folder {path}.") from None
    try:
        yield
    finally:
        with suppress(OSError):  # those that are no longer empty
            for place in new:
                place.rmdir()


def target_of(path):
    """The file itself, where symbolic links lead to it: it is the one to be replaced, not the link."""
    return Path(os.path.realpath(path))


@contextmanager
def replacing(path, previous=None, *, overwrite=True, source=None):
    """A temporary path beside `path`, of the same suffix, that becomes `path` when the block ends well.

    The temporary file reaches the disk before it is renamed, so a reader sees the old file or the new one and never a
    part of it. Whatever ends the block otherwise leaves the old file as it was. `previous` is where the old file goes,
    `source` the file that is read.
    Errors name `path`; the temporary file of a process that was killed is removed by the next one that writes there.

    Raises
    ------
    FileExistsError
        If `overwrite` is false and the file exists, also if it was made meanwhile.
    OSError
        As `expect_output`, and if the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(path) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> path.read_text()
    'whole'
    """
    path = expect_output(path, overwrite, source=source)
    target = target_of(path)
    with temporary_beside(target, path) as temporary:
        yield temporary
        with open(temporary, "r+b") as written:
            os.fsync(written.fileno())
        if previous is not None and target.exists():
            _keep(target, temporary, previous)
        if overwrite:
            os.replace(temporary, target)
        else:
            give_name(temporary, target)
        sync_folder(target.parent)


class SetAside:
    """Files under another name, so that nobody takes them for those that are being made, until these are there.

    What a killed process left aside stays there, or is put back, too.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> _ = path.write_text("old")
    >>> aside = SetAside(path)
    >>> path.exists()
    False
    >>> aside.put_back()
    >>> path.read_text()
    'old'
    """

    def __init__(self, *paths):
        self.places = {Path(path): Path(f"{path}.earlier") for path in paths}
        for path, aside in self.places.items():
            if path.exists():
                os.replace(path, aside)

    def remove(self):
        """Part with them; then there is nothing to put back."""
        for aside in self.places.values():
            aside.unlink(missing_ok=True)

    def put_back(self):
        """Give them their names again, where nothing has taken these."""
        for path, aside in self.places.items():
            if aside.exists() and not path.exists():
                os.replace(aside, path)


def write_whole(path, content, *, source=None):
    """Write a text or bytes to `path` as `replacing` does."""
    with replacing(path, source=source) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def temporary_beside(target, path):
    """An empty file beside `target`; when the block ends it has another name or is removed, and errors name `path`."""
    start, host = target.stem[:40], socket.gethostname()
    _remove_leftovers(target.parent, start, host, target.suffix)
    name = f".{start}-{host}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}"
    temporary = target.with_name(name)
    try:
        # The system applies the umask, as to every new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
    except Exception as error:
        named = _naming(path, temporary, error)
        if named is None:
            raise
        raise named from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _naming(path, temporary, error):
    """The error of an output in terms of `path`, or None if it needs no change."""
    if isinstance(error, MemoryError):
        return MemoryError(f"to write {path}")  # the command line says that there is not enough
    text = str(error)
    if not isinstance(error, ValueError) and any(why in text for why in _FULL + _BROKEN):
        return unwritable(f"{path} cannot be written", error)
    if temporary.name not in text:
        return None
    said = " ".join(text.split()).replace(str(temporary), str(path))
    why = error.strerror if getattr(error, "filename", None) else said
    kind = type(error) if type(error).__module__ == "builtins" and isinstance(error, OSError | ValueError) else OSError
    return kind(f"{path} cannot be written ({why}); choose another path.")


def unwritable(what, error):
    """The OSError for whatever a library said about a disk that refused."""
    text = str(error)
    why = next((why for why in _FULL + _BROKEN if why in text), reason(error))
    return OSError(f"{what} ({why}); {'use another disk' if why in _BROKEN else 'make room on the disk'}.")


def _remove_leftovers(folder, start, host, suffix):
    """Remove temporary files of processes of this machine that are no longer there."""
    ours = re.compile(rf"\.{re.escape(start)}-{re.escape(host)}-(\d+)-[0-9a-f]{{8}}{re.escape(suffix)}(\.previous)?")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = ours.fullmatch(entry.name)
            if found and not process_exists(int(found[1])):
                os.unlink(entry.path)


def process_exists(process):
    """Return whether a process of this number runs on this machine."""
    if os.name != "posix":  # elsewhere the question would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _keep(target, temporary, previous):
    """Give a file a second name, so that there is no moment without a file of the first."""
    second = temporary.with_name(f"{temporary.name}.previous")
    try:
        os.link(target, second)
    except OSError:  # a file system without hard links
        os.replace(target, previous)
    else:
        try:
            os.replace(second, previous)
        except OSError:
            second.unlink(missing_ok=True)
            raise


def give_name(temporary, target):
    """Give a file its name unless that is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise FileExistsError(f"{target} was made by another program meanwhile; choose another path.") from None
    except OSError:  # a file system without hard links
        with open(target, "xb"):
            os.replace(temporary, target)


def sync_folder(folder):
    """Let the rename itself reach the disk."""
    with suppress(OSError):  # not every system opens folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
