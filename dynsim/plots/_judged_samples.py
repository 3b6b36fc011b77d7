"""The samples of a run with a teacher, drawn at what the judged group emits for them: how classes part."""

from __future__ import annotations

import numpy as np

from ._figure_style import MARKS, colours, decorate, evenly, line, thinned
from ._groups import group_names
from ._sources import system_of

_MOST_SAMPLES = 2000
_MOST_CLASSES = 12
_LIMIT_FRAMES = 50


def has_teacher(trajectory):
    """Whether a trajectory holds the signals of a system with a teacher."""
    if trajectory.signals is None:
        return False
    system = getattr(trajectory, "system", None)
    if system is None:  # made only where its description has a teacher
        config = trajectory.parameters.get("config")
        told = config if isinstance(config, dict) else trajectory.provenance.get("system")
        if not isinstance(told, dict) or told.get("teacher") is None:
            return False
        system = system_of(trajectory)
    return system is not None and system.teacher is not None


class JudgedSamples:
    """Samples (s,) in the plane of the judged signals, for frame after frame.

    The plane is that of the two neurons of the group; of more neurons, that of the two directions in which the samples
    of the last frame differ most; of one neuron its signal and the wanted one.
    """

    def __init__(self, trajectory, shown):
        system = system_of(trajectory)
        self.teacher, self.data = system.teacher, trajectory.E
        self.judged = np.flatnonzero(trajectory.groups[: trajectory.neurons] == self.teacher.group)
        targets = self.teacher.targets
        self.wanted = targets if targets.ndim == 1 else targets.argmax(axis=0)
        if targets.ndim == 2 and len(targets) == 1:  # of one number: two classes, those above its mean and the others
            self.wanted = (targets[0] > targets[0].mean()).astype(int)
        self.some = evenly(targets.shape[-1], _MOST_SAMPLES)
        self.thin = thinned(len(self.some), targets.shape[-1], "samples")
        self.kinds = np.unique(self.wanted).tolist()[:_MOST_CLASSES]
        groups = len(group_names(trajectory))  # whose colours are others
        self.colours = colours(groups + len(self.kinds))[groups:]
        self.mean, self.axes = self._plane(int(shown[-1]))
        frames = [int(shown[int(k)]) for k in evenly(len(shown), _LIMIT_FRAMES)]
        self.sample = np.concatenate([self.places(at) for at in frames])

    def _plane(self, last):
        E = self._emitted(last)
        if len(E) <= 2:
            return np.zeros((len(E), 1)), np.eye(len(E))
        mean = E.mean(axis=1, keepdims=True)
        left, _, _ = np.linalg.svd(np.nan_to_num(E - mean), full_matrices=False)
        return mean, left[:, :2].T

    def _emitted(self, at):
        return self.data[at][self.judged].astype(float)

    def places(self, at):
        """The samples (s, 2) in frame `at`."""
        seen = (self.axes @ (self._emitted(at) - self.mean))[:, self.some]
        if len(seen) == 1:
            seen = np.stack([seen[0], self.teacher.targets[0][self.some]])
        return seen.T

    def panel(self, axes):
        """Make the marks in a panel, one line of points a class, and its limits."""
        self.points, missing = [], np.full((2, 1), np.nan)
        for kind, colour in zip(self.kinds, self.colours, strict=True):
            mark = {"marker": MARKS[kind % len(MARKS)], "markersize": 4, "linestyle": "none", "markeredgewidth": 0}
            self.points += axes.plot(*missing, color=colour, alpha=0.75, **mark)
        finite = self.sample[np.isfinite(self.sample).all(axis=1)]
        low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (-np.ones(2), np.ones(2))
        margin = 0.06 * np.maximum(high - low, 1e-12)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        names = {1: ("emitted", "wanted"), 2: ("$E_0$", "$E_1$")}
        decorate(axes, *names.get(len(self.judged), ("first principal axis", "second principal axis")))
        if len(self.judged) == 2:
            axes.axline((0, 0), slope=1, color="#999999", linewidth=0.8, zorder=0)  # where both emit the same
        self.heading = axes.set_title("")
        return [*self.points, self.heading]

    def draw(self, at):
        """Move the marks to where the samples are in a frame."""
        at = int(at)
        places, wanted = self.places(at), self.wanted[self.some]
        for kind, points in zip(self.kinds, self.points, strict=True):
            points.set_data(*places[wanted == kind].T)
        E = self._emitted(at)
        words = f"samples: loss {float(self.teacher.value(E)):.3g}"
        if len(self.judged) > 1:
            words += f", {100 * float(self.teacher.correct(E)):.0f} % right"
        self.heading.set_text(words)

    def entries(self):
        """What the legend says."""
        each = zip(self.kinds, self.colours, strict=True)
        return [line(f"class {k}", color=c, marker=MARKS[k % len(MARKS)], linestyle="none") for k, c in each]
