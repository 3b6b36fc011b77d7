"""Places fitted to weights: Gauss-Newton against Adam, from the same start, in the same time."""

from __future__ import annotations

import time

import numpy as np

from ._contestants import isolated

SHAPES = {"full 128 x 128": (1, 1, 128, 128), "3 x 3, 32 to 32": (3, 3, 32, 32)}
DECAYS = {"structureless": 0.0, "power law": 0.5}  # singular values fall as k^-decay
DIM, COPIES, ADAM = 16, 2, 1500  # copies * dim numbers a neuron; steps of Adam


def measure(rounds, full):
    """Errors |W_places - W|^2 / |W|^2 after the time that Adam takes, and when Gauss-Newton reached Adam's."""
    rows = []
    for name, shape in SHAPES.items():
        for kind, decay in DECAYS.items():
            found = isolated(__name__, "both", shape=shape, decay=decay)
            rows.append({"weights": f"{name}, {kind}", **found})
    return {"copies": COPIES, "dim": DIM, "adam_steps": ADAM, "rows": rows}


def both(shape, decay, steps=ADAM):
    """The two ways on weights of a shape, after each has been compiled."""
    from dynsim.kernels import Kernel
    from dynsim.learning import fit_start

    kernel, weights = Kernel("gaussian", length=6.0), _weights(shape, decay)
    start = fit_start(kernel, weights, copies=COPIES, dim=DIM, generator=np.random.default_rng(1))
    adam(kernel, weights, start, 2)
    gauss(kernel, weights, start, 1, np.inf)
    seconds, error = adam(kernel, weights, start, steps)
    course = gauss(kernel, weights, start, 1000, seconds)
    reached = next((after for after, found in course if found <= error), None)
    found = {"seconds_each": seconds, "adam": error, "gauss_newton": course[-1][1]}
    return found if reached is None else {**found, "adams_error_reached_after": reached}


def adam(kernel, weights, start, steps, rate=0.02):
    """Seconds and error of Adam on one cycle, lambdas at a tenth of the places' rate: as `dynsim.learning.fit` does."""
    from dynsim.kernels import relation, relation_forces
    from dynsim.layers import Parameter
    from dynsim.learning import Adam, one_cycle

    parts = [Parameter(a, kind) for a, kind in zip(start, ("places", "places", "strengths"), strict=True)]
    motion, scale = Adam(parts), float(np.sum(np.square(weights)))
    began = time.perf_counter()
    for step in range(steps):
        values = [part.value for part in parts]
        difference = relation(kernel, *values) - weights
        forces = relation_forces(kernel, *values, difference * np.float32(2 / scale))
        for part, force in zip(parts, forces, strict=True):
            part.gradient[...] = force
        motion.step(one_cycle(step, steps, peak=rate))
    seconds = time.perf_counter() - began
    difference = relation(kernel, *(part.value for part in parts)) - weights
    return seconds, float(np.sum(np.square(difference))) / scale


def gauss(kernel, weights, start, steps, limit):
    """(seconds, error) after every step of Gauss-Newton, until the limit has passed."""
    from dynsim.learning import gauss_newton, relations_problem

    course = []

    def progress(done, total, error):
        course.append((time.perf_counter() - began, error))
        return course[-1][0] > limit

    problem = relations_problem(kernel, weights)
    began = time.perf_counter()
    gauss_newton(problem, start, steps=steps, progress=progress)
    return [entry for entry in course if entry[0] <= limit]


def _weights(shape, decay):
    t, s, n, m = shape
    u, values, v = np.linalg.svd(np.random.default_rng(0).normal(size=(t * n, s * m)))
    if decay:
        values = np.arange(1, len(values) + 1) ** -decay
    flat = (u[:, : len(values)] * values) @ v[: len(values)]
    return np.ascontiguousarray(flat.reshape(t, n, s, m).transpose(0, 2, 1, 3), dtype=np.float32)
