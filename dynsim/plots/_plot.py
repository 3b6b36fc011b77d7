"""One function for all figures."""

import inspect

from dynsim.plots import KINDS
from dynsim.plots._distances import draw_distances
from dynsim.plots._observables import draw_observables
from dynsim.plots._phase import draw_phase
from dynsim.plots._save import expect_format, save
from dynsim.plots._signals import draw_signals
from dynsim.plots._trajectories import draw_trajectories
from dynsim.trajectory import Trajectory

_DRAW = {
    "trajectories": draw_trajectories,
    "signals": draw_signals,
    "distances": draw_distances,
    "phase": draw_phase,
    "observables": draw_observables,
}


def plot(source, kind, output=None, **options):
    """Draw a figure of a trajectory.

    `source` is the path of a trajectory file or an open `Trajectory`; `kind` is one of `KINDS`:

    - "trajectories": paths in two or three dimensions, with start and end; options `neurons`, `dim` (2 or 3);
    - "signals": R and E over time; options `neurons`, `signal` ("R", "E" or "both"), `component`;
    - "distances": distances of pairs over time, or their quantiles where pairs are many; options
      `neurons`, `copy`;
    - "phase": a quantity against its rate of change; options `neurons`, `quantity` ("q", "R" or "E"),
      `component`;
    - "observables": what was written with every frame, such as loss and accuracy; options `names`, `against`
      ("time" or "step").

    All kinds take `title` and `size`, width and height in pixels (1200, 800). Neurons are numbered from 0;
    a path belongs to a place, so a neuron with copies has several. With `output` the figure is saved too,
    as PNG, PDF or SVG by its suffix. Returns the matplotlib Figure. Raises ValueError if the trajectory
    lacks what the kind shows, TypeError for an option that the kind does not have.

    >>> import tempfile, os, numpy as np
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=2) as writer:
    ...     for step in range(10):
    ...         writer.write(step, 0.1 * step, [[0.0, step], [step, 0.0]])
    >>> plot(path, "trajectories").axes[0].get_title()
    'Paths of 2 neurons'
    """
    _expect_kind(kind)
    if output is not None:
        expect_format(output)
    for name in options:
        if name not in options_of(kind):
            known = ", ".join(options_of(kind))
            raise TypeError(f"got option {name!r}, expected some of {known} for kind {kind!r}")
    if not isinstance(source, Trajectory):
        with Trajectory(source) as trajectory:
            return plot(trajectory, kind, output, **options)
    kinds = available(source)
    if kind not in kinds:
        raise ValueError(
            f"{source.path} has nothing for kind {kind!r} ({_WHY[kind]}); "
            + (f"choose one of {', '.join(kinds)}" if kinds else "it holds no frames yet, run longer")
        )
    figure = _DRAW[kind](source, **options)
    if output is not None:
        save(figure, output)
    return figure


_WHY = {
    "trajectories": "it needs a frame",
    "signals": "it needs signals R and E",
    "distances": "it needs two neurons",
    "phase": "it needs three frames at different times",
    "observables": "it needs observables such as a loss",
}


def _expect_kind(kind):
    if not isinstance(kind, str) or kind not in _DRAW:
        text = repr(kind) if isinstance(kind, str) else f"of type {type(kind).__name__}"
        raise ValueError(f"got kind {text}, expected one of {', '.join(KINDS)}")


def options_of(kind):
    """Names of the options of a kind of figure.

    >>> options_of("trajectories")
    ['neurons', 'dim', 'title', 'size']
    """
    _expect_kind(kind)
    return list(inspect.signature(_DRAW[kind]).parameters)[1:]


def available(trajectory):
    """Kinds of figures that an open trajectory has the data for.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=1) as writer:
    ...     writer.write(0, 0.0, [[1.0], [2.0]])
    >>> available(Trajectory(path))
    ['trajectories', 'distances']
    """
    if not isinstance(trajectory, Trajectory):
        raise TypeError(f"got trajectory of type {type(trajectory).__name__}, expected an open Trajectory")
    if not trajectory.frames:
        return []
    has = {
        "trajectories": True,
        "signals": trajectory.signals is not None,
        "distances": trajectory.neurons > 1,
        "phase": len(set(trajectory.time.tolist())) >= 3,
        "observables": bool(trajectory.observables),
    }
    return [kind for kind in KINDS if has[kind]]
