"""How a run or a training ended, where that was not its planned end, and the marks that say so."""

from __future__ import annotations

import textwrap

from ._figure_style import BAD, mark_below, plain, time_label
from ._selection import is_training

_WORDS = {-2: "diverged", -1: "failed"}  # of a run's status
_INTERRUPTED = "interrupted"
_LETTERS = 300  # of a message


def ending(trajectory):
    """(word, time of the last frame, sentence) of a run that diverged, failed or was interrupted, else None.

    The file of a run or of a training that has no outcome was left by a process that was stopped, or that still writes.
    Frames that were written in another way are not expected to have one.

    >>> import numpy as np, dynsim
    >>> system = dynsim.System(np.eye(2), operators=dynsim.Operators(F=-1.0))
    >>> ending(dynsim.trajectory.SolutionTrajectory(dynsim.solve(system, (0.0, 1.0)))) is None
    True
    """
    if not trajectory.frames:
        return None
    outcome, time = trajectory.provenance.get("outcome"), float(trajectory.time[-1])
    if outcome:
        word = _WORDS.get(outcome.get("status")) if isinstance(outcome.get("status"), int) else None
        return word and (word, time, _sentence(word, time, outcome.get("message")))
    planned = _planned(trajectory)
    if planned is None and outcome is None:
        return None
    until = "" if planned is None else f" of {planned}"
    what = "epoch" if is_training(trajectory) else "time"
    return _INTERRUPTED, time, f"Interrupted, or still running: {what} {time:.6g}{until}."


def _sentence(word, time, message):
    """Of the outcome's message what happened, and the echo gain where it names it, without advice."""
    if not isinstance(message, str) or not message.strip():
        return f"The run {word} after time {time:.6g}."
    clauses = [" ".join(part.split()).rstrip(".") for part in message.split("; ")]
    why = next((part for part in clauses[1:] if part.startswith("echo gain")), None)
    first = clauses[0] if why is None else f"{clauses[0]}; {why}"
    return f"{textwrap.shorten(first, _LETTERS, placeholder='...')}."


def _planned(trajectory):
    """The end that was planned, as text; None where the file is none of a run or a training."""
    epochs, span = trajectory.provenance.get("epochs"), trajectory.parameters.get("span")
    planned = epochs if is_training(trajectory) else span[-1] if isinstance(span, list) and span else None
    return f"{planned:.6g}" if isinstance(planned, int | float) else None


def mark_ending(figure, trajectory):
    """Say below a figure how the run ended, and draw a line at its last frame in panels over time."""
    end = ending(trajectory)
    if end is None:
        return
    word, time, sentence = end
    over_time = [axes for axes in figure.axes if axes.get_xlabel() == time_label(trajectory)]
    marked = []
    for axes in over_time:
        # Panels above others share their horizontal axis, and leave its label to the lowest.
        for panel in [axes, *axes.get_shared_x_axes().get_siblings(axes)]:
            if panel not in marked and panel.name == "rectilinear":
                panel.axvline(time, color=BAD, linestyle="--", linewidth=1.2, zorder=1.5)
                marked.append(panel)
    if marked:
        top = min(marked, key=lambda panel: -panel.get_position().y1)
        top.annotate(word, (time, 1), (-4, -4), ("data", "axes fraction"), "offset points", ha="right", va="top",
                     fontsize=9, color=BAD)  # fmt: skip
    mark_below(figure, plain(sentence))
