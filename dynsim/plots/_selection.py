"""Which neurons and which frames a figure shows: bounded, so that any file can be drawn."""

from __future__ import annotations

import numpy as np

from dynsim._check import describe, refusal


def chosen_neurons(trajectory, neurons, most):
    """Indices of the neurons to draw: those asked for, or at most `most`, spread evenly over all."""
    count = trajectory.neurons
    if neurons is None:
        return evenly(count, most)
    chosen = np.asarray(neurons if np.ndim(neurons) else [neurons])
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise refusal("neurons", describe(neurons), f"a list of numbers from 0 to {count - 1}")
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise refusal("neurons", outside[0], f"numbers from 0 to {count - 1}")
    return np.unique(chosen.astype(np.intp))


def evenly(count, most):
    """At most `most` indices below `count`, evenly spread.

    >>> evenly(10, 3).tolist()
    [0, 4, 9]
    """
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).astype(np.intp))


def frame_stride(trajectory, most):
    """A slice of the frames with at most about `most` of them."""
    return slice(None, None, max(1, -(-trajectory.frames // most)))


def particle_indices(trajectory, neurons):
    """Particle indices of all copies of the neurons, copy after copy."""
    return (np.arange(trajectory.copies)[:, None] * trajectory.neurons + neurons).ravel()


def some_of(shown, count, noun="neurons"):
    """Words for a title.

    >>> some_of(8, 100), some_of(2, 2)
    ('8 of 100 neurons', '2 neurons')
    """
    if count == 1:
        return f"1 {noun.removesuffix('s')}"
    return f"{count:,} {noun}" if shown == count else f"{shown:,} of {count:,} {noun}"


def component_of(width, component, noun):
    """Check the number of a coordinate or of a signal's component."""
    if not 0 <= component < width:
        raise refusal("component", component, f"a number from 0 to {width - 1} of the {noun}")
    return component


def expect_copy(trajectory, copy):
    """Check the number of a copy of the places."""
    if not 0 <= copy < trajectory.copies:
        raise refusal("copy", copy, f"a number from 0 to {trajectory.copies - 1}")


def group_names(trajectory):
    """{group: name} of a trajectory's groups: as its configuration has them, else "group k"."""
    numbers = np.unique(trajectory.groups).tolist()
    given = trajectory.parameters.get("group_names")
    config = trajectory.parameters.get("config")
    if given is None and isinstance(config, dict) and isinstance(config.get("groups"), list):
        given = [group.get("name") if isinstance(group, dict) else None for group in config["groups"]]
    given = given if isinstance(given, list) else []
    named = {k: str(given[k]) for k in numbers if 0 <= k < len(given) and given[k]}
    return {k: named.get(k, f"group {k}") for k in numbers}
