"""What is known of a system before a run: where its given signals, or its history, are not smooth."""

from __future__ import annotations

import math

import numpy as np

from ._breaking_points import NONE, BreakingPoints
from ._delay_sums import DelaySums, neutral_groups

WIDTHS = 6  # of a pulse to either side; beyond it is below 2e-8 of its height


def breaking_points(system, start, tableau, dt=None, history=None):
    """The breaking points of a run of a system from `start` by a method; `dt` where the step is fixed."""
    neutral = bool(system._equations.echoes)
    signals = [] if system._drive is None else [(system._drive, 0 if neutral else 1)]
    signals += [(signal, 0) for _, signal in system._clamps]
    known = [NONE]
    for signal, smoother in signals:
        structure = signal.structure
        known.append(np.add(structure.breaks, [0, smoother]))
        for at, width in structure.pulses:
            # Adaptive steps that begin or end on a pulse see it; fixed ones resolve it where they are short enough.
            if dt is None:
                times = at + WIDTHS * width * np.arange(-1.0, 2.0)
            else:
                times = at + width * np.arange(-WIDTHS, WIDTHS + 1.0) if dt > width else np.empty(0)
            known.append(np.stack([times, np.full(len(times), float(smoother))], axis=1))
    before = getattr(getattr(history, "sol", None), "breaks", NONE)
    found = {"known": np.concatenate(known), "order": tableau.order, "before": np.reshape(before, (-1, 2))}
    if system.speed is not None:  # echoes reach each pair at a time of its own
        return BreakingPoints(start, 0.0, neutral=neutral, **found)
    if system._delays.several:
        return DelaySums(start, system._delays, neutral=neutral_groups(system), **found)
    return BreakingPoints(start, system.delay, neutral=neutral, **found)


def longest_seen(system):
    """Half the shortest known period: longer steps may fall on equal phases and see nothing."""
    signals = [signal for signal in (system._drive, *(signal for _, signal in system._clamps)) if signal is not None]
    return min([math.inf, *(0.5 * signal.structure.period for signal in signals)])
