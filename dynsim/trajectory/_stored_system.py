"""What moves a system, beside its frames, so that it can be made again from the file."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_like, as_table, expect_keys, refusal
from dynsim.engine import Operators, System, Teacher
from dynsim.errors import DataError
from dynsim.kernels import Kernel

_MOST_NUMBERS = 100_000  # stored as text: larger systems are left to a configuration
_OPERATORS = "ABCDEF"
_KEYS = ("kernel", "operators", "activation", "strengths", "delay", "signals", "clamped")
_USUAL = {"speed": None, "mass": 0.0, "friction": 1.0, "temperature": 0.0}  # stored where they are not these


def describe_system(system):
    """Everything that equations (1) to (4) need but the given signals, as a table; None where it is too large.

    Targets of a teacher that are too many for the table are left out of it: it then says that there is a teacher.

    >>> describe_system(System(np.eye(2)))["operators"]["F"]
    0.0
    """
    operators = {name: getattr(system.operators, name) for name in _OPERATORS}
    others = (system.strengths, system.delay, system.mass, system.friction, system.temperature)
    if sum(np.size(value) for value in (*operators.values(), *others)) > _MOST_NUMBERS:
        return None
    table = {
        "kernel": system.kernel.to_dict(),
        "operators": {name: value.tolist() for name, value in operators.items()},
        "activation": system.operators.activation,
        "strengths": system.strengths.tolist(),
        "delay": np.asarray(system.delay, dtype=float).tolist(),
        "signals": system.signals,
        "clamped": [int(group) for group in system.clamped],
    }
    for name, usual in _USUAL.items():
        value = getattr(system, name)
        if isinstance(value, tuple) or np.any(np.not_equal(value, usual)):
            table[name] = [part.tolist() for part in value] if isinstance(value, tuple) else np.asarray(value).tolist()
    if system.teacher is not None:
        table["teacher"] = _described(system.teacher)
    return table


def _described(teacher):
    targets = teacher.targets.tolist() if teacher.targets.size <= _MOST_NUMBERS else None
    return {"group": teacher.group, "loss": teacher.loss, "rate": teacher.rate, "targets": targets}


def stored_system(trajectory) -> System | None:
    """Return the system that made a trajectory, as its file describes it; None if it does not, or not with its teacher.

    Places are all 0, given signals are not stored, and those of clamped groups are 0 here. Raises TypeError for what
    is no trajectory, DataError if the description does not fit the frames.

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
        expect_keys(as_table(table, "system"), [*_KEYS, *_USUAL, "teacher"], "system")
        teacher = table.get("teacher")
        if teacher is not None:
            if as_table(teacher, "teacher")["targets"] is None:
                return None
            teacher = Teacher(**teacher)
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
            groups=None if one else groups,
            strengths=strengths,
            signals=table["signals"],
            clamped=dict.fromkeys(table["clamped"], 0.0) or None,
            teacher=teacher,
            **{name: _value(table.get(name, usual), name) for name, usual in _USUAL.items()},
        )
        if system.signals != trajectory.signals:
            raise refusal("signals", system.signals, trajectory.signals)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{trajectory.path}: its description of the system cannot be used ({error})") from None
    return system


def _value(value, name):
    """A stored value as `System` takes it: temperatures over time are a pair."""
    return tuple(value) if name == "temperature" and isinstance(value, list) else value
