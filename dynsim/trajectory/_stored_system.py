"""The operators and strengths of a system beside its frames, so that q' can be computed from the file."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_like, as_table, expect_keys, refusal
from dynsim.engine import Operators, System
from dynsim.errors import DataError
from dynsim.kernels import Kernel

_MOST_NUMBERS = 100_000  # stored as text: larger systems are left to a configuration
_OPERATORS = "ABCDEF"
_KEYS = ("kernel", "operators", "activation", "strengths", "delay", "speed", "signals", "clamped")


def describe_system(system):
    """Everything that equations (1) to (3) need but the given signals, as a table; None where it is too large.

    >>> describe_system(System(np.eye(2)))["operators"]["F"]
    0.0
    """
    operators = {name: getattr(system.operators, name) for name in _OPERATORS}
    if sum(np.size(value) for value in operators.values()) + system.strengths.size > _MOST_NUMBERS:
        return None
    return {
        "kernel": system.kernel.to_dict(),
        "operators": {name: value.tolist() for name, value in operators.items()},
        "activation": system.operators.activation,
        "strengths": system.strengths.tolist(),
        "delay": np.asarray(system.delay, dtype=float).tolist(),
        "speed": system.speed,
        "signals": system.signals,
        "clamped": [int(group) for group in system.clamped],
    }


def stored_system(trajectory) -> System | None:
    """Return the system that made a trajectory, as its file describes it, at its first places; None if it does not.

    Given signals are not stored, and those of clamped groups are 0 here. Raises TypeError for what is no
    trajectory, DataError if the description does not fit the frames.

    >>> import tempfile, os, dynsim
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> system = System(np.eye(2), operators=Operators(F=-3.0))
    >>> solution = dynsim.solve(system, (0.0, 1.0), path=path)
    >>> stored_system(dynsim.trajectory.Trajectory(path)).operators.F.item()
    -3.0
    """
    as_like(trajectory, ("frames", "groups", "provenance"), "Trajectory", "trajectory")
    table = trajectory.provenance.get("system")
    if table is None or not trajectory.frames:
        return None
    try:
        expect_keys(as_table(table, "system"), _KEYS, "system")
        operators = as_table(table["operators"], "operators")
        expect_keys(operators, _OPERATORS, "operators")
        strengths = np.asarray(table["strengths"], dtype=float)
        groups = trajectory.groups[: trajectory.neurons]
        one = strengths.shape[-1:] == (1,)
        shape = (trajectory.neurons, trajectory.dimension)
        places = np.zeros(shape if trajectory.copies == 1 else (trajectory.copies, *shape))
        system = System(
            places,
            kernel=Kernel.from_dict(as_table(table["kernel"], "kernel")),
            operators=Operators(**operators, activation=table["activation"]),
            delay=table["delay"],
            speed=table.get("speed"),  # not in files of earlier versions
            groups=None if one else groups,
            strengths=strengths,
            signals=table["signals"],
            clamped=dict.fromkeys(table["clamped"], 0.0) or None,
        )
        if system.signals != trajectory.signals:
            raise refusal("signals", system.signals, trajectory.signals)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{trajectory.path}: its description of the system cannot be used ({error})") from None
    return system
