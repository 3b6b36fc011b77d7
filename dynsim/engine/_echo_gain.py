"""The echo gain: by how much the field comes back, per delay, or in one pass at delay 0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigs

from dynsim._check import as_array, as_flag, as_instance
from dynsim._ranks import ALONE, world

from ._failure import NotFinite
from ._system import System
from ._zero_delay import ZeroDelaySolver

EIGENVALUES_LIMIT = 1000  # N * s up to which all eigenvalues are computed


def echo_gain(
    system: System, q: npt.ArrayLike | None = None, *, R: npt.ArrayLike | None = None, together: bool = False
) -> float:
    """Spectral radius rho(a Phi) of what a system's own signals come back as.

    E(t) = a Phi E(t - eps) + ...: with a delay, a gain above 1 makes the field grow geometrically, whatever the
    step; at delay 0, fixed-point iteration for R converges only below 1. Strengths count; clamped groups echo nothing.

    Parameters
    ----------
    system : System
    q : array_like, optional
        Places, shaped as system.q; default system.q.
    R : array_like, (N, s), optional
        Received signals at which an activation is linearised; default its steepest slope.
    together : bool
        Divide pair sums among the ranks of `mpiexec`, all of which have to call it then.

    Returns
    -------
    float
        0 if a = 0. All eigenvalues for N s <= 1000, else Arnoldi iteration with pair sums (a tolerance of 1e-6,
        or the accuracy of the sums).

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, echo_gain
    >>> pair = System(np.array([[0.0], [2.0]]), operators=Operators(A=3.0), delay=1.0)
    >>> round(echo_gain(pair), 12)
    1.5
    """
    as_instance(system, System, "system")
    q = system.q.copy() if q is None else as_array(q, "q", system.q.shape, np.float64)
    R = None if R is None else as_array(R, "R", (system.neurons, system.signals), np.float64)
    ranks = world() if as_flag(together, "together") else ALONE
    solver = ZeroDelaySolver(system, ranks)
    if not solver.echoes or solver.layered:  # of groups in layers nothing comes back
        return 0.0
    q = system._places(q)
    slope = system._equations.slope(R)
    size = system.neurons * system.signals
    if size <= EIGENVALUES_LIMIT:
        echo = np.eye(size) - solver._matrix(system._coupling.matrix(q), slope)
        return float(np.abs(np.linalg.eigvals(echo)).max()) if np.isfinite(echo).all() else float("inf")

    def apply(E):
        return system._coupling.received(q, q, solver._free(slope.apply(E.reshape(solver.size))), ranks).reshape(-1)

    # A fixed start makes the result the same in every run.
    start = np.random.default_rng(0).standard_normal(size)
    try:
        values = eigs(LinearOperator((size, size), matvec=apply, dtype=float), 1, v0=start,
                      tol=max(1e-6, system.accuracy or 0.0),
                      return_eigenvectors=False)  # fmt: skip
    except NotFinite:
        return float("inf")
    except ArpackNoConvergence as error:
        values = error.eigenvalues
    except ArpackError:
        values = ()
    if len(values):
        return float(np.abs(values).max())
    return _power_iteration(apply, start)


def _power_iteration(apply, x, *, products=200):
    """Growth of a vector under repeated products, the mean over the second half: a last resort."""
    logs = []
    for _ in range(products):
        norm = np.linalg.norm(x)
        if norm == 0.0 or not np.isfinite(norm):
            return float(norm)
        x = apply(x / norm)
        logs.append(np.log(np.linalg.norm(x)) if np.any(x) else -np.inf)
    return float(np.exp(np.mean(logs[products // 2 :])))
