"""Files are saved whole or not at all."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from dynsim.plots import FORMATS

# Without dates the same figure gives the same file.
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def expect_format(output, formats=FORMATS):
    """The format by the suffix of `output`, checked together with its folder before anything is drawn."""
    output = Path(output)
    suffix = output.suffix.lower().lstrip(".")
    if suffix not in formats:
        raise ValueError(f"got output {str(output)!r}, expected a name that ends in .{', .'.join(formats)}")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent} is not a directory; make it before writing {output.name}")
    return suffix


@contextmanager
def written_whole(output, formats=FORMATS):
    """A binary file that becomes `output` at the very end; whatever ends it before leaves an old one as it was."""
    output = Path(output)
    suffix = expect_format(output, formats)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{output.stem}-", suffix=f".{suffix}", dir=output.parent)
    os.close(descriptor)
    try:
        with open(temporary, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that nobody else can read
        os.replace(temporary, output)
    except BaseException:
        os.unlink(temporary)
        raise


def save(figure, output):
    """Save a figure as PNG, PDF or SVG by the suffix of `output`; an old file is replaced at the very end.

    Raises ValueError for another suffix, OSError for a place that cannot be written.

    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> output = Path(tempfile.mkdtemp()) / "empty.png"
    >>> save(Figure(), output)
    >>> output.read_bytes()[1:4]
    b'PNG'
    """
    suffix = expect_format(output)
    with written_whole(output) as file:
        figure.savefig(file, format=suffix, metadata=_METADATA[suffix])
