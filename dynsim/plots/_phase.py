"""Phase portraits: a quantity against its rate of change."""

import numpy as np

from dynsim.plots._select import chosen_neurons, component_of, particles, some_of
from dynsim.plots._style import UNITS, decorate, ends, legend, line, looks, mark_ends, new_figure, note, thinned

_MOST_LINES = 7
_MOST_POINTS = 4000
_SYMBOLS = {"q": "q", "R": "R", "E": "E"}


def draw_phase(trajectory, *, neurons=None, quantity="q", component=0, title=None, size=None):
    """A coordinate or a signal against its derivative in time (second-order differences of the frames)."""
    if quantity not in _SYMBOLS:
        raise ValueError(f"got quantity {quantity!r}, expected q, R or E")
    if quantity != "q" and trajectory.signals is None:
        raise ValueError(f"got quantity {quantity} of a trajectory without signals; choose q")
    width = trajectory.dimension if quantity == "q" else trajectory.signals
    component_of(width, component, "coordinates" if quantity == "q" else "signals")
    copies = trajectory.copies if quantity == "q" else 1
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_LINES // copies))
    # The derivative is taken from all frames, and only then are they thinned out.
    later = np.concatenate([[True], np.diff(trajectory.time) > 0])
    time, data = trajectory.time[later], getattr(trajectory, quantity)
    which = particles(trajectory, chosen) if quantity == "q" else chosen
    values = data.read(None, which)[later][:, :, component].astype(float)
    portrait = np.stack([values, np.gradient(values, time, axis=0, edge_order=2)], axis=2)
    stride = max(1, len(time) // _MOST_POINTS)
    palette = looks(len(chosen))
    figure = new_figure(size)
    axes = figure.add_subplot()
    for index in range(len(which)):
        axes.plot(*portrait[::stride, index].T, linewidth=1.3, **palette[index % len(chosen)])
    mark_ends(axes, portrait, [palette[k % len(chosen)]["color"] for k in range(len(which))])
    symbol = _SYMBOLS[quantity] + (f"_{{{component + 1}}}" if width > 1 or quantity == "q" else "")
    decorate(axes, f"${symbol}$", rf"$\mathrm{{d}}{symbol}/\mathrm{{d}}t$")
    axes.set_title(title or f"Phase portrait of {some_of(len(chosen), trajectory.neurons)}")
    legend(figure, [line(f"neuron {n}", **palette[k]) for k, n in enumerate(chosen[:20])] + ends())
    note(figure, thinned(len(portrait[::stride]), trajectory.frames, "frames"), UNITS)
    return figure
