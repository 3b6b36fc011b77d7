"""One function for all figures."""

from __future__ import annotations

import inspect

from dynsim.plots._kinds import TABLE
from dynsim.plots._save import expect_format, save
from dynsim.plots._source import is_trajectory, opened, source_name


def plot(source, kind, output=None, **options):
    """Draw a figure of a trajectory, a model or the metrics of a training.

    `source` is the path of a file (a trajectory, a model, or lines of JSON such as metrics.jsonl) or the thing itself:
    an open `Trajectory`, a `Solution`, a `Model`, a `TrainingResult`. `kind` is one of `KINDS`. Of a trajectory:

    - "trajectories": paths in two or three dimensions, with start and end; options `neurons`, `dim` (2 or 3), `axes`
      ("auto", "coordinates" or "principal": auto takes principal axes where d > 3, and prints their share of variance);
    - "signals": R and E over time; options `neurons`, `signal` ("R", "E" or "both"), `component`;
    - "distances": distances of pairs over time, or their quantiles where pairs are many; options `neurons`, `copy`;
    - "entropy": Shannon entropy in bits of the distribution of distances over time; options `neurons`, `copy`, `bins`;
    - "energy": sums of |q'|^2, |R| and |E| over all neurons, and the echo gain, over time;
    - "phase": a quantity against its rate of change; options `neurons`, `quantity` ("q", "R" or "E"), `component`;
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
    if kind not in TABLE:
        raise ValueError(f"got kind {kind!r}, expected one of {', '.join(TABLE)}")
    if output is not None:
        expect_format(output)
    for name in options:
        if name not in options_of(kind):
            known = ", ".join(options_of(kind))
            raise TypeError(f"got option {name!r}, expected some of {known} for kind {kind!r}")
    with opened(source) as found:
        kinds = available(found)
        if kind not in kinds:
            raise ValueError(
                f"{getattr(found, 'path', 'the model')} has nothing for kind {kind!r} ({_why(kind, found)}); "
                + (f"choose one of {', '.join(kinds)}" if kinds else "it holds no frames yet, run longer")
            )
        figure = TABLE[kind].draw(found, **options)
    if output is not None:
        save(figure, output)
    return figure


def _why(kind, found):
    sources, here = TABLE[kind].sources, source_name(found)
    return TABLE[kind].otherwise if here in sources else f"it is drawn from a {' or '.join(sources)}, not from {here}"


def options_of(kind):
    """Names of the options of a kind of figure.

    >>> options_of("trajectories")
    ['neurons', 'dim', 'axes', 'title', 'size']
    """
    return list(inspect.signature(TABLE[kind].draw).parameters)[1:]


def available(source):
    """Kinds of figures that an open trajectory, a model or lines have the data for.

    >>> import tempfile, os
    >>> from dynsim.trajectory import Trajectory, TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=1) as writer:
    ...     writer.write(0, 0.0, [[1.0], [2.0]])
    >>> available(Trajectory(path))
    ['trajectories', 'distances']
    """
    with opened(source) as found:
        if is_trajectory(found) and not found.frames:
            return []
        here = source_name(found)
        return [name for name, kind in TABLE.items() if here in kind.sources and kind.needs(found)]
