"""One function for all figures; figures are saved whole or not at all."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context

from dynsim._check import as_choice, as_like, refusal
from dynsim._files import expect_output, replacing

from ._figure_kinds import figure_kinds
from ._outcome import mark_ending
from ._sources import is_trajectory, opened, source_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
FILMS = ("mp4", "gif")
# Without dates the same figure gives the same file.
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
# Text stays text, which can be searched, read aloud and edited; so do the names of parts of an SVG file.
_TEXT = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "dynsim"}


def plot(source: Any, kind: str, *, output: str | Path | None = None, **options: Any) -> Figure:
    """Draw a figure of a trajectory, a model or the metrics of a training.

    `source` is the path of a file (a trajectory, a model, or lines of JSON such as metrics.jsonl) or the object itself:
    an open `Trajectory`, a `Solution`, a `Model`, a `TrainingResult`. `kind` is one of `KINDS`. Of a trajectory:

    - "trajectories": paths in two or three dimensions, with start and end; options `neurons`, `dim` (2 or 3), `axes`
      ("auto", "coordinates" or "principal": auto takes principal axes where d > 3, and prints their share of variance);
    - "signals": R and E over time; options `neurons`, `signal` ("R", "E" or "both"), `component`;
    - "distances": distances of pairs over time, or their quantiles where pairs are many; options `neurons`, `copy`;
    - "entropy": Shannon entropy in bits of the distribution of distances over time; options `neurons`, `copy`, `bins`;
    - "energy": sums of |q'|^2, |R| and |E| over all neurons, and the echo gain, over time;
    - "phase": a quantity against its rate of change, of q by equation (3); options `neurons`, `quantity`
      ("q", "R" or "E"), `component`;
    - "forces": q' in one frame, as arrows; options `neurons`, `frame`, `dim`, `axes`;
    - "neurons": first and last frame side by side, coloured by layer; options `neurons`, `dim`, `axes`;
    - "observables": what was written with every frame; options `names`, `against` ("time" or "step");
    - "learning": loss and accuracy by epoch, of a training's trajectory or of metrics.jsonl.

    Of a model: "weights", the matrices that its places stand for (option `layer`); "layers", its layers and the neurons
    that they share; "forces", -dL/dq on its neurons (options `data`, a name, `data_dir`, `neurons`, `dim`, `axes`). Of
    lines that `dynsim evaluate --json` printed: "noise", accuracy against delta.

    All kinds take `title` and `size`, width and height in pixels (1200, 800). Neurons are numbered from 0; a path
    belongs to a place, so a neuron with copies has several. With `output` the figure is saved too, as PNG, PDF or SVG
    by its suffix. Returns the matplotlib Figure. Raises ValueError if the source lacks what the kind shows, TypeError
    for an option that the kind does not have.

    >>> import tempfile, os, numpy as np
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=2) as writer:
    ...     for step in range(10):
    ...         writer.write(step, 0.1 * step, [[0.0, step], [step, 0.0]])
    >>> plot(path, "trajectories").axes[0].get_title()
    'Paths of 2 neurons'
    """
    as_choice(kind, figure_kinds(), "kind")
    if output is not None:
        expect_format(output, source=source)
    known = options_of(kind)
    for name in options:
        if name not in known:
            raise refusal("plot", f"option {name!r}", f"some of {', '.join(known)} for kind {kind!r}", error=TypeError)
    with opened(source) as found:
        kinds = available(found)
        if kind not in kinds:
            do = f"choose one of {', '.join(kinds)}" if kinds else "it holds no frames yet, run longer"
            raise refusal("kind", f"{kind!r} for {getattr(found, 'path', 'the model')}", _requirement(kind, found), do)
        figure = figure_kinds()[kind].draw(found, **options)
        if is_trajectory(found):
            mark_ending(figure, found)
    if output is not None:
        save(figure, output)
    return figure


def _requirement(kind, found):
    """What a source is expected to be or to hold, for the message about one that is not or does not."""
    entry, here = figure_kinds()[kind], source_name(found)
    return f"a source with {entry.requires}" if here in entry.sources else f"a {' or '.join(entry.sources)}, not {here}"


def options_of(kind: str) -> list[str]:
    """Names of the options of a kind of figure.

    >>> options_of("trajectories")
    ['neurons', 'dim', 'axes', 'title', 'size']
    """
    as_choice(kind, figure_kinds(), "kind")
    return list(inspect.signature(figure_kinds()[kind].draw).parameters)[1:]


def available(source: Any) -> list[str]:
    """Kinds of figures that an open trajectory, a model or lines have the data for.

    >>> import tempfile, os
    >>> from dynsim.trajectory import Trajectory, TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=1) as writer:
    ...     writer.write(0, 0.0, [[1.0], [2.0]])
    >>> available(Trajectory(path))
    ['distances', 'trajectories']
    """
    with opened(source) as found:
        if is_trajectory(found) and not found.frames:
            return []
        here = source_name(found)
        return [name for name, kind in figure_kinds().items() if here in kind.sources and kind.needs(found)]


def expect_format(output: str | Path, formats: tuple[str, ...] = FORMATS, *, source: Any = None) -> str:
    """Return the format that the suffix of `output` names; checked together with its folder before anything is drawn.

    `source` is what is drawn. Raises ValueError for another suffix, OSError for a path that cannot be written or is
    that of the source.
    """
    suffix = Path(output).suffix.lower().lstrip(".")
    if suffix not in formats:
        raise refusal("output", repr(str(output)), f"a name that ends in .{', .'.join(formats)}")
    read = getattr(source, "path", source)
    expect_output(output, source=read if isinstance(read, str | Path) else None)
    return suffix


def beside(source: Any, suffix: str) -> Path:
    """Return the name of an output that nobody named: that of the source, with another suffix; makes nothing.

    Raises FileExistsError if there is such a file.
    """
    path = Path(getattr(source, "path", source)).with_suffix(suffix)
    if path.exists():
        raise FileExistsError(f"{path} exists; give it as the output (-o {path}) to replace it, or another path.")
    return path


def save(figure: Figure, output: str | Path) -> None:
    """Save a figure as PNG, PDF or SVG by the suffix of `output`; an old file is replaced at the very end.

    Raises ValueError for another suffix, OSError for a path that cannot be written.

    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> output = Path(tempfile.mkdtemp()) / "empty.png"
    >>> save(Figure(), output)
    >>> output.read_bytes()[1:4]
    b'PNG'
    """
    as_like(figure, ("savefig",), "matplotlib Figure", "figure")
    suffix = expect_format(output)
    with rc_context(_TEXT), replacing(output) as temporary:
        figure.savefig(temporary, format=suffix, metadata=_METADATA[suffix])
