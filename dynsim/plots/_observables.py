"""What was written with every frame: loss, accuracy, energy."""

from dynsim.plots._curves import draw_curves
from dynsim.plots._style import time_label


def draw_observables(trajectory, *, names=None, against="time", title=None, size=None):
    """One panel for every kind of observable: train_loss and test_loss share one."""
    names = (names,) if isinstance(names, str) else tuple(names or trajectory.observables)
    for name in names:
        if name not in trajectory.observables:
            raise ValueError(f"got observable {name!r}, expected some of {', '.join(trajectory.observables)}")
    if against not in ("time", "step"):
        raise ValueError(f"got against {against!r}, expected time or step")
    x = trajectory.time if against == "time" else trajectory.step
    label = time_label(trajectory) if against == "time" else "step"
    curves = {name: (x, trajectory.observables[name]) for name in names}
    return draw_curves(curves, label, title or f"Observables over {trajectory.frames:,} frames", size)
