"""Methods of fixed step that are no Runge-Kutta tables: splittings, and schemes with noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dynsim._check import refusal

from .._equations import NOT_FINITE, OK, all_finite
from .._stepping import EVALUATIONS
from ._method import Method

# Between the ends of a step: the cubic of the derivatives there, K[0] and K[1], and the mean one K[2]; of a path with
# noise, which has none, the line.
HERMITE = np.array([[1.0, -2.0, 1.0], [0.0, -1.0, 1.0], [0.0, 3.0, -2.0]])
LINE = np.array([[0.0], [0.0], [1.0]])


@dataclass(frozen=True, eq=False)
class Scheme(Method):
    """A method of fixed step, as a function that takes it.

    `step(t, end, state, f, derivative, noise, new, new_f)` fills the state and its derivative at the end, where
    `derivative(t, state, out)` returns a code, which it returns too; the last one called is that at the end, so that
    signals are of there. `massive` says which neurons it moves: True with mass, False without, None both.
    """

    name: str
    order: int
    step: Callable
    noisy: bool = False
    massive: bool | None = None
    nodes: int = 2
    reference: str = ""

    error_order, adaptive, stages = 0, False, 3

    def arrays(self, rtol, atol):
        """As `Tableau.arrays`, of which the loop over steps reads the interpolant and that the end's f is known."""
        none = np.zeros(self.stages)
        P = LINE if self.noisy else HERMITE
        return np.zeros((self.stages, self.stages)), none, none, none, P, np.array([0.0, rtol, atol, 1.0, 1.0])

    def expect(self, system):
        """Refuse a system without what the scheme moves."""
        massive = system._inertia.massive
        if self.massive not in (None, massive):
            wanted = "a mass above 0" if self.massive else "mass=0"
            raise refusal("method", f"{self.name} for neurons {'with' if massive else 'without'} mass", wanted)
        if massive and self.massive and np.any(system.operators.C):
            expected = "C = 0, as it takes forces that do not depend on velocities"
            raise refusal("method", f"{self.name} with an operator C", expected, "take a Runge-Kutta method")

    def scheme(self, noise):
        """The attempt of a step, made of an evaluation of the right-hand side: see `_stepping.machine`."""

        def build(evaluate, emit_nodes):
            def attempt(t, end, parameters, tableau, q, f, E, trial, counts):
                new_q, new_R, new_E, new_f, K, _, _ = trial

                def derivative(at, state, out):
                    counts[EVALUATIONS] += 1
                    return evaluate(at, state, *parameters, new_R, new_E, out)

                noise.begin(counts)
                code = self.step(t, end, q, f, derivative, noise, new_q, new_f)
                if code != OK:
                    return code, math.inf
                h = end - t
                K[0], K[1], K[2] = f.ravel(), new_f.ravel(), (new_q - q).ravel() / h
                if len(parameters[3][6]) > 0:
                    code, _ = emit_nodes(t, h, parameters, tableau, q, E, trial, counts)
                    if code != OK:
                        return code, math.inf
                return (OK, 0.0) if all_finite(new_q) else (NOT_FINITE, math.inf)

            return attempt

        return build
