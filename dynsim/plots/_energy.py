"""Energy-like sums over all neurons, over time."""

import numpy as np

from dynsim.engine import configure, echo_gain
from dynsim.plots._select import frame_stride, some_of
from dynsim.plots._style import PALETTE, UNITS, decorate, new_figure, note, thinned, time_label, whole_numbers

_MOST_FRAMES = 400
_MOST_GAINS = 25  # each is an eigenvalue problem
_MOST_GAIN_NEURONS = 400
_BLOCK = 4_000_000  # numbers read at a time


def draw_energy(trajectory, *, title=None, size=None):
    """sum |q'|^2, and the norms |R| and |E|, of all neurons; the echo gain where the file says how it was made.

    q' comes from differences of neighbouring frames. Only every so many frames are drawn, but q' always comes from
    frames that follow each other.
    """
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time = trajectory.time
    kinetic_time, kinetic = _kinetic(trajectory, frames.step)
    panels = [(r"$\sum_i |\dot q_i|^2$", "-", kinetic_time, kinetic)]
    for name, data in (("R", trajectory.R), ("E", trajectory.E)):
        if data is not None:
            panels.append((rf"$|{name}|$", "-", time[frames], _norms(data, frames.step)))
    gains = _gains(trajectory)
    if gains is not None:
        panels.append((r"echo gain $\rho(a\Phi)$", "o-", *gains))
    figure = new_figure(size)
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, style, x, values), colour in zip(rows, panels, PALETTE, strict=False):
        axes.plot(x, values, style, color=colour, linewidth=1.6, markersize=3.5)
        decorate(axes, time_label(trajectory) if axes is rows[-1] else "", label)
        some = values[np.isfinite(values)]
        if len(some) and some.min() > 0 and some.max() > 1000 * some.min():
            axes.set_yscale("log")
    whole_numbers(rows[-1], time)
    if gains is not None:
        rows[-1].axhline(1.0, color="#767676", linestyle="--", linewidth=1)
    rows[0].set_title(title or f"Motion and signals of {some_of(trajectory.neurons, trajectory.neurons)}")
    shown = thinned(len(time[frames]), trajectory.frames, "frames")
    note(figure, "q' from differences of frames", shown, UNITS)
    return figure


def _kinetic(trajectory, stride):
    """Times between frames, and the sum of |q'|^2 over all places there."""
    time, values, middles = trajectory.time, [], []
    particles = trajectory.neurons * trajectory.copies
    most = max(1, _BLOCK // (particles * trajectory.dimension))
    run = max(2, most) if stride == 1 else 2
    for start in range(0, trajectory.frames - 1, stride if stride > 1 else run - 1):
        block = slice(start, min(trajectory.frames, start + run))
        passed = np.diff(time[block])
        moved = np.diff(trajectory.places(block).astype(float), axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            values.append(np.sum(moved**2, axis=(1, 2)) / passed**2)
        middles.append((time[block][1:] + time[block][:-1]) / 2)
    return np.concatenate(middles), np.concatenate(values)


def _norms(data, stride):
    """Euclidean norm over neurons and components of every stride-th frame."""
    rows = max(1, _BLOCK // max(1, int(np.prod(data.shape[1:])))) * stride
    parts = [data[start : start + rows : stride].astype(float) for start in range(0, len(data), rows)]
    return np.concatenate([np.linalg.norm(part.reshape(len(part), -1), axis=1) for part in parts])


def _gains(trajectory):
    """Times and echo gains of some frames, or None where the system is not known or nothing echoes."""
    system = getattr(trajectory, "system", None)
    config = trajectory.parameters.get("config")
    if system is None and isinstance(config, dict):
        system = configure(config).system
    known = system is not None and trajectory.R is not None and system.neurons == trajectory.neurons
    if not known or system.neurons * system.signals > _MOST_GAIN_NEURONS:
        return None
    some = np.unique(np.linspace(0, trajectory.frames - 1, _MOST_GAINS).astype(int))
    gains = []
    for k in some:
        q, R = trajectory.q[int(k)].astype(float), trajectory.R[int(k)].astype(float)
        finite = np.isfinite(q).all() and np.isfinite(R).all()
        gains.append(echo_gain(system, q.reshape(system.q.shape), R) if finite else np.nan)
    gains = np.array(gains)
    return (trajectory.time[some], gains) if np.nanmax(gains, initial=0.0) > 1e-12 else None
