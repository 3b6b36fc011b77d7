"""The kinetic energy of neurons with mass."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_instance, expect_memory, refusal

from ._system import System


def neuron_masses(system: System) -> npt.NDArray:
    """Return the mass (N,) of every neuron of a system, whatever its `mass` was given for; all 0 without mass.

    >>> neuron_masses(System(np.eye(3), groups=[0, 1, 0], mass=[2.0, 5.0])).tolist()
    [2.0, 5.0, 2.0]
    """
    return as_instance(system, System, "system")._inertia.mass.copy()


def kinetic_energy(
    velocity: npt.ArrayLike, mass: npt.ArrayLike, groups: npt.ArrayLike | None = None
) -> float | npt.NDArray:
    """Return the kinetic energy sum_i m_i |q_i'|^2 / 2 of neurons, or that of each group of them.

    Parameters
    ----------
    velocity : array_like, (..., N, d)
        Velocities; up to two leading axes, as of frames and copies, are kept. Numbers may be NaN or infinite.
    mass : array_like, (N,) or a number
        Masses, as of `neuron_masses`.
    groups : array_like of int, (N,), optional
        Group of each neuron, 0 to G - 1.

    Returns
    -------
    float or numpy.ndarray, (...)
        With groups (..., G). The energy of a neuron with copies is the sum of those of its copies.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, a mass is below 0, or a group is no whole number from 0.

    Examples
    --------
    >>> kinetic_energy([[3.0, 4.0], [1.0, 0.0]], mass=[2.0, 6.0])
    28.0
    >>> kinetic_energy([[3.0, 4.0], [1.0, 0.0]], mass=[2.0, 6.0], groups=[1, 0]).tolist()
    [3.0, 25.0]
    """
    velocity = as_array(velocity, "velocity", dtype=np.float64, finite=False)
    if not 2 <= velocity.ndim <= 4:
        raise refusal("velocity", f"shape {velocity.shape}", "(N, d), or up to two axes before them")
    neurons = velocity.shape[-2]
    mass = as_array(mass, "mass", dtype=np.float64)
    if mass.shape not in ((), (neurons,)):
        raise refusal("mass", f"shape {mass.shape}", f"a number or ({neurons},)")
    if mass.min(initial=0.0) < 0:
        raise refusal("mass", f"{mass.min():g}", "numbers of at least 0")
    with np.errstate(over="ignore", invalid="ignore"):  # of a run that diverged
        each = 0.5 * mass * np.sum(velocity**2, axis=-1)
        if groups is None:
            total = each.sum(axis=-1)
            return total if total.ndim else float(total)
        members = as_array(groups, "groups", (neurons,))
        if np.any(members != members.astype(np.int64)) or members.min(initial=0) < 0:
            raise refusal("groups", "numbers that are none of groups", "whole numbers from 0")
        shape = (*each.shape[:-1], int(members.max(initial=-1)) + 1)
        expect_memory(8 * math.prod(shape), f"energies of shape {shape}", "number groups from 0, without gaps")
        energies = np.zeros(shape)
        np.add.at(energies, (..., members.astype(np.int64)), each)
        return energies
