"""q' of equation (3) at known places and signals: the force of overdamped motion, without a step being taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_instance, refusal

from ._system import System


def velocity(system: System, q: npt.ArrayLike, *, R: npt.ArrayLike, E: npt.ArrayLike) -> npt.NDArray:
    """The right-hand side of equation (3), q' = D R + E_op E + F q, by the operators of a system.

    At a temperature above 0 this is the velocity without the noise.

    Parameters
    ----------
    system : System
    q : array_like
        Places, shaped as system.q, (N, d) or (H, N, d); or those of T frames, with a leading axis.
    R, E : array_like
        Received and emitted signals of the same frames, (N, s) or (T, N, s). Numbers may be infinite or NaN, as the
        last ones of a diverged run are; so are then the velocities that depend on them.

    Returns
    -------
    numpy.ndarray
        q', shaped as q.

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit the system, or there are not as many frames of each; for neurons with mass, whose
        velocities do not follow from q, R and E, and for a system with a teacher, as its force is not among them.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, velocity
    >>> system = System(np.eye(2), operators=Operators(D=[[1.0], [0.0]], F=-1.0))
    >>> velocity(system, system.q, R=[[3.0], [0.0]], E=np.zeros((2, 1))).tolist()
    [[2.0, 0.0], [0.0, -1.0]]
    """
    as_instance(system, System, "system")
    if system.velocity is not None:
        do = "take the velocity of a Solution or a Trajectory, or system.replace(mass=0.0, velocity=None) for (3)"
        raise refusal("system", "neurons with mass, which have velocities of their own", "neurons without mass", do)
    if system.teacher is not None:
        do = "system.replace(teacher=None) has the q' of (3) alone"
        raise refusal("system", "a teacher, whose force moves neurons, too", "a system without teacher", do)
    q = as_array(q, "q", dtype=np.float64, finite=False)
    if q.shape[-system.q.ndim :] != system.q.shape or q.ndim > system.q.ndim + 1:
        raise refusal("q", f"shape {q.shape}", f"{system.q.shape}, or (T, {str(system.q.shape)[1:]} for T frames")
    signals = (*q.shape[: q.ndim - system.q.ndim], system.neurons, system.signals)
    R, E = (as_array(value, name, signals, np.float64, finite=False) for name, value in (("R", R), ("E", E)))
    operators = system._equations
    with np.errstate(over="ignore", invalid="ignore"):
        common = operators.D.apply(R) + operators.E.apply(E) + np.zeros((*signals[:-1], system.dimension))
        if system.q.ndim == 3:
            common = common[..., None, :, :]  # all copies of a neuron receive the same
        return common + operators.F.apply(q)
