"""One Runge-Kutta step and, with a delay, the emitted signal at its Lobatto nodes."""

from __future__ import annotations

import math

import numpy as np

from ._controller import error_norm
from ._dense import Step


class Stepper:
    """Tries steps of one method; `attempt` leaves its result in the attributes until the next one."""

    def __init__(self, tableau, field, rtol, atol):
        self.tableau, self.field, self.rtol, self.atol = tableau, field, rtol, atol
        self.rows = [tableau.A[i, :i].copy() for i in range(tableau.stages)]
        self.nodes = None if field.memory is None else field.memory.nodes
        self.K = self.step = self.end_values = self.q_nodes = self.E_nodes = None

    def attempt(self, t, end, q, f, E):
        """Step from t to `end`; returns the error norm, below 1 if good enough (0 for fixed steps).

        Sets `q` (the new places), `end_values` (q', R, E there as limits from the left, or None if the method does
        not need them) and `step` (the polynomial). NotFinite and NoConvergence pass through.
        """
        tableau, field, h = self.tableau, self.field, end - t
        K = np.empty((tableau.stages, q.size))
        K[0] = f.reshape(-1)
        flat = q.reshape(-1)
        self.end_values = None
        for i in range(1, tableau.stages):
            stage = (flat + (h * self.rows[i]) @ K[:i]).reshape(q.shape)
            c = tableau.c[i]
            values = field.evaluate(end if c == 1.0 else t + c * h, stage)
            K[i] = values[0].reshape(-1)
        if tableau.first_same_as_last:
            self.q, self.end_values = stage, values
        else:
            self.q = (flat + (h * tableau.b) @ K).reshape(q.shape)
        error = 0.0
        if tableau.adaptive:
            size = np.maximum(np.abs(flat), np.abs(self.q.reshape(-1)))
            error = error_norm((h * tableau.b_error) @ K, size, self.rtol, self.atol)
        self.step = Step(t, h, end, q, K, tableau.P)
        if self.nodes is not None and error < 1.0:
            error = max(error, self._emit(t, end, E))
        return error

    def _emit(self, t, end, E):
        """Fill the nodes with q and E; returns how badly E is interpolated, as an error norm."""
        x, h = self.nodes.x, end - t
        if self.end_values is None:
            self.end_values = self.field.evaluate(end, self.q)
        q_nodes = np.empty((len(x), *self.q.shape))
        E_nodes = np.empty((len(x), *E.shape))
        q_nodes[0], q_nodes[-1], E_nodes[0], E_nodes[-1] = self.step.q0, self.q, E, self.end_values[2]
        for k in range(1, len(x) - 1):
            q_nodes[k] = self.step.places(t + x[k] * h)
            E_nodes[k] = self.field.signals(t + x[k] * h, q_nodes[k])[1]
        self.q_nodes, self.E_nodes = q_nodes, E_nodes
        self.step.E = E_nodes
        if not self.tableau.adaptive or len(x) < 3:
            return 0.0
        defect = np.tensordot(self.nodes.defect, E_nodes, 1)
        error = error_norm(defect, np.abs(E_nodes).max(axis=0), self.rtol, self.atol)
        # The node left out lowers the order by one, h^(n - 1); the controller expects h^(error order + 1).
        return error ** ((self.tableau.error_order + 1) / (len(x) - 1)) if math.isfinite(error) else error
