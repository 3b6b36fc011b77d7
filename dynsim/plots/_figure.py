"""One function for all figures; figures are saved whole or not at all."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context

from dynsim._check import as_choice, as_flag, as_like, refusal
from dynsim._files import expect_output, replacing

from ._figure_kinds import figure_kinds
from ._outcome import mark_ending
from ._selection import is_training
from ._several_runs import comparable, draw_several, several_options
from ._sources import is_trajectory, opened, source_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OF_SEVERAL = ("learning", "signals", "energy", "observables", "distances")  # the usual ones come first
FORMATS = ("png", "pdf", "svg")
FILMS = ("mp4", "gif")
# Without dates the same figure gives the same file.
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
# Text stays text, which can be searched, read aloud and edited; so do the names of parts of an SVG file.
_TEXT = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "dynsim"}


def plot(source: Any, kind: str, *, output: str | Path | None = None, **options: Any) -> Figure:
    """Draw a figure of a trajectory, a model or the metrics of a training.

    `source` is the path of a file (a trajectory, a model, or lines of JSON such as metrics.jsonl) or the object itself:
    an open `Trajectory`, a `Solution`, a `Model`, a `TrainingResult`, a `Lyapunov`. Several in a list, or in a dict
    with their names, are drawn into one figure of "signals", "energy", "distances" (the median), "entropy",
    "observables" or "learning".
    `kind` is one of `KINDS`. Of a trajectory:

    - "trajectories": paths in two or three dimensions, with start and end; options `neurons`, `groups`, `dim` (2 or 3),
      `axes` ("auto", "coordinates" or "principal": auto takes principal axes where d > 3, and prints their share of
      variance);
    - "signals": R and E over time, by group where there are two to eight; options `neurons`, `groups`, `signal` ("R",
      "E" or "both"), `component`, `scale`;
    - "activity": a row for every neuron, coloured by R or E over time; options `neurons`, `groups`, `signal`,
      `component`, `order` ("group", "peak" or "number"), `scale`;
    - "distances": distances of pairs over time, or their quantiles where pairs are many; options `neurons`, `groups`,
      `copy`, `scale`;
    - "entropy": Shannon entropy in bits of the distribution of distances over time; options `neurons`, `groups`,
      `copy`, `bins`;
    - "energy": kinetic energy of neurons with mass, and with a teacher that of its loss, or the sum of |q'|^2; norms of
      R and E over all neurons, and the echo gain, over time; option `scale`;
    - "phase": a quantity against its rate of change, of q by equation (3); options `neurons`, `groups`, `quantity`
      ("q", "R" or "E"), `component`;
    - "forces": q' in one frame, as arrows; options `neurons`, `groups`, `frame`, `dim`, `axes`;
    - "neurons": first and last frame side by side, coloured by layer; options `neurons`, `groups`, `dim`, `axes`;
    - "observables": what was written with every frame; options `names`, `against` ("time" or "step"), `scale`;
    - "learning": loss and accuracy by epoch, of a training's trajectory or of metrics.jsonl; option `scale`.

    Of a model: "weights", the matrices that its places stand for (option `layer`); "filters", the same as images, a
    neuron each (`layer`); "layers", its layers and the neurons that they share; "forces", -dL/dq on its neurons, and
    "confusion" and "misread", which of the test images it takes for what (options `data`, a name or a path, and
    `data_dir`). Of lines that `dynsim evaluate --json` printed: "noise", accuracy against delta. Of what
    `dynsim.engine.lyapunov` returned: "lyapunov", the estimate over time.

    `scale` is "linear", "log", or "auto": logarithmic where values span decades, which the figure says. `groups` are
    names or numbers of groups of neurons.

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
    several = isinstance(source, list | tuple | dict) and len(source) != 1
    if several and not source:
        raise refusal("source", "an empty list", "one source, or several")
    if isinstance(source, list | tuple | dict) and len(source) == 1:
        (source,) = source.values() if isinstance(source, dict) else source
    if several:
        as_choice(kind, comparable(), "kind of figure of several sources")
    if output is not None:
        for one in _named(source).values() if several else [source]:
            expect_format(output, source=one)
    known = options_of(kind, several=several)
    for name in options:
        if name not in known:
            raise refusal("plot", f"option {name!r}", f"some of {', '.join(known)} for kind {kind!r}", error=TypeError)
    with ExitStack() as files:
        if several:
            found = {name: files.enter_context(opened(one)) for name, one in _named(source).items()}
            for one in found.values():
                _expect_drawable(kind, one)
            figure = draw_several(kind, found, **options)
        else:
            found = files.enter_context(opened(source))
            _expect_drawable(kind, found)
            figure = figure_kinds()[kind].draw(found, **options)
            if is_trajectory(found):
                mark_ending(figure, found)
    if output is not None:
        save(figure, output)
    return figure


def _named(sources):
    """{name: source}: the names given, else those of the files without their suffix, in full where they are alike."""
    if isinstance(sources, dict):
        return {str(name): source for name, source in sources.items()}
    paths = [Path(getattr(source, "path", None) or source) if _has_path(source) else None for source in sources]
    names = [str(k) if path is None else path.stem for k, path in enumerate(paths)]
    if len(set(names)) < len(names):
        names = [str(k) if path is None else str(path) for k, path in enumerate(paths)]
    if len(set(names)) < len(names):
        raise refusal(
            "sources", f"the same one twice ({', '.join(names)})", "different ones, or a dict with their names"
        )
    return dict(zip(names, sources, strict=True))


def _has_path(source):
    return isinstance(getattr(source, "path", None) or source, str | Path)


def _expect_drawable(kind, found):
    kinds = available(found)
    if kind not in kinds:
        do = f"choose one of {', '.join(kinds)}" if kinds else "it holds no frames yet, run longer"
        name = getattr(found, "path", f"the {source_name(found)}")
        raise refusal("kind", f"{kind!r} for {name}", _requirement(kind, found), do)


def usual_kind(source: Any) -> str:
    """The kind of figure that a source is shown by where none is asked for.

    A run whose neurons move: their paths; one whose neurons stand still: its signals; a training: the neurons before
    and after; a model: its weights; metrics: learning; lines of `dynsim evaluate`: noise. Of several in a list:
    learning, or else the signals, or what else all have.

    Raises ValueError where there is nothing to draw yet.

    >>> import numpy as np, dynsim
    >>> usual_kind(dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0)))
    'signals'
    """
    if isinstance(source, list | tuple | dict):
        each = [available(one) for one in (source.values() if isinstance(source, dict) else source)]
        for kind in _OF_SEVERAL if len(each) > 1 else ():
            if all(kind in kinds for kinds in each):
                return kind
        if len(each) != 1:
            raise refusal("source", "several that share no kind of figure", f"some with {', '.join(_OF_SEVERAL)}")
        (source,) = source.values() if isinstance(source, dict) else source
    with opened(source) as found:
        kinds = available(found)
        if is_trajectory(found):
            still = found.frames < 2 or np.array_equal(found.q[0], found.q[-1], equal_nan=True)
            wanted = ["neurons"] if is_training(found) else ["signals"] if still else []
            wanted += ["trajectories"]
        else:
            wanted = ["weights", "layers", "learning", "noise", "lyapunov"]
        for kind in wanted:
            if kind in kinds:
                return kind
        raise refusal("source", f"{getattr(found, 'path', 'one')} with nothing to draw", "frames, layers or numbers")


def _requirement(kind, found):
    """What a source is expected to be or to hold, for the message about one that is not or does not."""
    entry, here = figure_kinds()[kind], source_name(found)
    return f"a source with {entry.requires}" if here in entry.sources else f"a {' or '.join(entry.sources)}, not {here}"


def options_of(kind: str, *, several: bool = False) -> list[str]:
    """Names of the options of a kind of figure, of one source or of several.

    >>> options_of("trajectories")
    ['neurons', 'groups', 'dim', 'axes', 'title', 'size']
    """
    as_choice(kind, comparable() if as_flag(several, "several") else figure_kinds(), "kind")
    if several:
        return several_options(kind)
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
