"""Films of neurons in motion, drawn frame by frame: memory does not grow with the film."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dynsim._check import as_array, as_callable, as_choice, as_count, as_instance, as_number, refusal
from dynsim._files import replacing
from dynsim.trajectory import Trajectory

from ._figure import FILMS, beside, expect_format
from ._figure_style import (
    GREY,
    UNITS,
    decorate,
    evenly,
    in_units,
    legend,
    mark_below,
    new_figure,
    note,
    plain,
    thinned,
    time_label,
    unit_of,
    value_colours,
)
from ._film_encoders import encoder, ffmpeg
from ._groups import group_colours, group_entries, group_marks, shown_groups
from ._judged_samples import JudgedSamples, has_teacher
from ._outcome import ending
from ._projection import decorate_space, dimensions, in_space, projection_of, same_scale, space
from ._selection import chosen_neurons, component_of, particle_indices, subject
from ._sources import opened

_MOST_FRAMES = 600  # twenty seconds
_MOST_PLACES = 2000
_MOST_NAMED = 16
_AXES_FRAMES = 50  # how many frames the limits of the axes are taken from, the first and the last among them
_COLOUR_FRAMES = 200  # that the limits of colours are taken from
_UNEVEN = 1e-3  # from here on steps of time differ
_MORE = 4  # pictures for a frame, at most
_BLOCK = 4_000_000  # numbers read at a time
_TAIL = 8  # frames of a path that are still seen


def animate(
    source: Any,
    output: str | Path | None = None,
    *,
    neurons: npt.ArrayLike | None = None,
    groups: str | int | list | None = None,
    colour: str = "group",
    component: int = 0,
    frames: int | None = None,
    stride: int | None = None,
    fps: float = 30,
    dim: int | None = None,
    axes: str = "auto",
    title: str | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable | None = None,
) -> dict[str, Any]:
    """Make a film of a trajectory: mp4 by ffmpeg, or GIF by Pillow.

    `source` is the path of a trajectory file, an open `Trajectory` or a `Solution`. `output` ends in .mp4 or .gif;
    without an ending (or without an output: beside the source, where no such file is replaced) it becomes mp4 where
    ffmpeg is installed, else GIF. Time passes evenly: where the frames of the run do not, as those of adaptive steps,
    places between them are interpolated linearly; the film has at most `frames` (600) pictures. With `stride`, every
    `stride`-th frame of the run is a picture, whatever its time. Of the neurons at most 2,000 places, evenly spread,
    are shown, or those in `neurons` and `groups` (names or numbers): the film says so. Of a run with a teacher the
    samples are shown beside, where the judged group puts them. `colour` is "group", or "R" or
    "E", a `component` of these signals. `fps` are pictures a second; `progress(done, total)` is called after every one;
    if it returns true, the film ends with KeyboardInterrupt. Returns a dict: `output`, `encoder` (what wrote it),
    `frames`, `stride` (None where time is interpolated), `neurons`.

    Frames are read, drawn and encoded one after the other, in constant memory; the film appears when it is whole.
    Raises ValueError for what cannot be, FileNotFoundError if ffmpeg is asked for and not installed.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> folder = tempfile.mkdtemp()
    >>> with TrajectoryWriter(os.path.join(folder, "run.h5"), neurons=2, dimension=2) as writer:
    ...     for step in range(3):
    ...         writer.write(step, 0.1 * step, [[0.0, step], [step, 0.0]])
    >>> animate(os.path.join(folder, "run.h5"), os.path.join(folder, "run.gif"), size=(200, 200))["frames"]
    3
    """
    _expect_options(frames, stride, fps, title, size, progress)
    as_choice(colour, ("group", "R", "E"), "colour")
    as_count(component, "component", minimum=0)
    with opened(source, Trajectory, "a film shows places over time") as trajectory:
        if not trajectory.frames:
            raise refusal(trajectory.path, "no frames yet", "some", "run longer")
        output = _output(output, trajectory)
        shown = _pictures(trajectory.time, frames, stride)
        encode = encoder(output.suffix)
        size = ((1280, 640) if has_teacher(trajectory) else (960, 720)) if size is None else size
        picture = _Picture(
            trajectory, shown, neurons=neurons, groups=groups, colour=colour, component=component, dim=dim, axes=axes,
            title=title, size=size, fps=fps,
        )  # fmt: skip
        with replacing(output) as file, encode(file, picture.size, fps) as film:
            for done, (at, places) in enumerate(_frames(trajectory, picture.which, shown), 1):
                film.add(picture.draw(at, places))
                if progress is not None and progress(done, len(shown)):
                    raise KeyboardInterrupt
    return {
        "output": str(output),
        "encoder": film.name,
        "frames": len(shown),
        "stride": shown.step if isinstance(shown, range) else None,
        "neurons": picture.neurons,
    }


def _expect_options(frames, stride, fps, title, size, progress):
    for name, value in (("frames", frames), ("stride", stride)):
        if value is not None:
            as_count(value, name)
    if not 1 <= as_number(fps, "fps") <= 120:
        raise refusal("fps", fps, "1 to 120 frames a second")
    if title is not None:
        as_instance(title, str, "title")
    if size is not None:
        as_array(size, "size", (2,))
    as_callable(progress, "progress")


def _output(output, trajectory):
    suffix = ".mp4" if ffmpeg() else ".gif"
    path = beside(trajectory, suffix) if output is None else Path(output)
    if not path.suffix:
        path = path.with_suffix(suffix)
    expect_format(path, FILMS, source=trajectory)
    return path


def _pictures(time, frames, stride):
    """The frames of the run that the film shows: a range, or an array of places between them where time is uneven.

    >>> _pictures(np.array([0.0, 0.1, 0.4]), 5, None).round(3).tolist()
    [0.0, 1.0, 1.333, 1.667, 2.0]
    """
    if frames is not None and stride is not None:
        raise refusal("frames, stride", "both", "one of them")
    most, steps = _MOST_FRAMES if frames is None else frames, np.diff(time)
    if stride is None and len(time) > 2 and time[-1] > time[0] and np.ptp(steps) > _UNEVEN * steps.mean():
        count = most if frames is not None else min(most, _MORE * len(time))
        wanted = np.linspace(time[0], time[-1], max(count, 1))
        later = np.flatnonzero(np.concatenate([[True], steps > 0]))  # frames at one time are one
        return np.interp(wanted, time[later], later)
    return range(0, len(time), -(-len(time) // most) if stride is None else stride)


def _frames(trajectory, which, shown):
    """Pairs of frame number, whole or between two frames, and places (P, d)."""
    if not isinstance(shown, range):
        yield from _between(trajectory, which, shown)
        return
    row = trajectory.neurons * trajectory.copies * trajectory.dimension
    size = max(1, _BLOCK // row)
    for start in range(0, len(shown), size):
        part = shown[start : start + size]
        block = trajectory.places(slice(part.start, part.stop, part.step), which)
        yield from zip(part, block, strict=True)


def _between(trajectory, which, shown):
    """The same at places between frames, by linear interpolation; two frames are in memory."""
    held = {}
    for at in shown:
        first, share = int(at), float(at) - int(at)
        wanted = [first, first + 1] if share else [first]
        held = {k: held[k] if k in held else trajectory.q[k][which].astype(float) for k in wanted}
        yield at, held[first] if not share else (1 - share) * held[first] + share * held[first + 1]


class _Colour:
    """What the points are coloured by: their group, or a component of R or E."""

    def __init__(self, trajectory, chosen, name, component, shown):
        self.data, self.chosen, self.component, self.unit = None, chosen, component, 1.0
        if name == "group":
            if component:
                raise refusal("component", f"{component} where groups have the colours", "colour R or E")
            return
        if trajectory.signals is None:
            raise refusal("colour", f"{name} of a trajectory without signals", "'group'")
        component_of(trajectory.signals, component, "signals")
        self.data = trajectory.R if name == "R" else trajectory.E
        # Limits hold for the whole film: from frames spread over it, and their largest values.
        some = [int(shown[int(k)]) for k in evenly(len(shown), _COLOUR_FRAMES)]
        sample = np.stack([self.values(k) for k in some])
        self.unit = unit_of(sample)
        self.map, self.low, self.high = value_colours(sample / self.unit)
        self.label = in_units(f"${name}_{{{component}}}$" if trajectory.signals > 1 else f"${name}$", self.unit)

    def values(self, at):
        """The signal (n,) of the chosen neurons, held from the frame before."""
        return self.data[int(at)][self.chosen][:, self.component].astype(float) / self.unit


class _Picture:
    """The figure whose points move."""

    def __init__(
        self, trajectory, shown, *, neurons=None, groups=None, colour="group", component=0, dim=None, axes="auto",
        title=None, size=(960, 720), fps=30,
    ):  # fmt: skip
        chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PLACES // trajectory.copies), groups)
        self.time, self.word = trajectory.time, time_label(trajectory).split(" (")[0]
        self.end, self.last = ending(trajectory), shown[-1]
        self.dim = dimensions(trajectory, dim)
        self.which, self.neurons, self.copies = particle_indices(trajectory, chosen), len(chosen), trajectory.copies
        self.colour = _Colour(trajectory, chosen, colour, component, shown)
        some = [shown[int(k)] for k in evenly(len(shown), _AXES_FRAMES)]
        sample = np.stack([trajectory.q[int(k)][self.which] for k in some])
        self.projection = projection_of(trajectory, self.dim, axes)
        judged = JudgedSamples(trajectory, shown) if has_teacher(trajectory) else None
        width, height = (2 * (side // 2) for side in size)  # video wants even numbers
        self.figure, self.size = new_figure((width, height)), (width, height)
        self.canvas = FigureCanvasAgg(self.figure)
        self.panel = space(self.figure, self.dim, *((1, 2, 1) if judged else ()))
        self._limits(in_space(self.projection(sample), self.dim))
        self.judged, self.beside = judged, []
        self._marks(trajectory, shown_groups(trajectory, chosen))
        if judged is not None:
            self.right = self.figure.add_subplot(1, 2, 2)
            self.beside = judged.panel(self.right)
        self.clock = self.panel.set_title("")
        self.title = subject(trajectory, chosen, neurons, groups) if title is None else plain(title)
        thin = " ".join(
            part for part in (thinned(len(chosen), trajectory.neurons, "neurons"), judged and judged.thin) if part
        )
        note(self.figure, *self._pace(shown, fps), thin, self.projection.note, UNITS)
        if self.end is not None:
            mark_below(self.figure, plain(self.end[2]))
        self.tail, self.ground = [], None

    def _pace(self, shown, fps):
        """Sentences for the note: which frames are shown, and how fast time passes."""
        if len(shown) < 2:
            return []
        if not isinstance(shown, range):
            pace = (self.time[-1] - self.time[0]) * fps / (len(shown) - 1)
            return [f"1 second is {self.word} {pace:.3g}", "interpolated between frames"]
        frames = thinned(len(shown), len(self.time), "frames")
        return [f"{frames}, every {shown.step}." if frames else ""]

    def _time(self, at):
        """The time of a frame, or between two."""
        return float(np.interp(at, np.arange(len(self.time)), self.time))

    def _limits(self, seen):
        finite = seen[np.isfinite(seen).all(axis=-1)]
        low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (-np.ones(self.dim), np.ones(self.dim))
        margin = 0.06 * np.maximum(high - low, 1e-12)
        for axis, name in enumerate("xyz"[: self.dim]):
            getattr(self.panel, f"set_{name}lim")(low[axis] - margin[axis], high[axis] + margin[axis])
        labels = [*self.projection.labels, ""][: self.dim]
        decorate(self.panel, *labels) if self.dim == 2 else decorate_space(self.panel, labels)
        same_scale(self.panel, seen, adjustable="box")

    def _marks(self, trajectory, kinds):
        """Points and tails for every group; or one cloud of points that are coloured by their signal."""
        palette, marks = group_colours(trajectory), group_marks(trajectory)
        self.kinds, self.group = kinds, trajectory.groups[self.which]
        area = 6 if len(self.which) <= 200 else 3.5
        missing = np.full((3, 1), np.nan)[: self.dim]
        self.points, self.tails, self.cloud = [], [], None
        for kind in kinds:
            mark = {"marker": marks[kind], "markersize": area, "linestyle": "none"}
            colour = GREY if self.colour.data is not None else palette[kind]
            self.tails += self.panel.plot(*missing, color=colour, linewidth=0.8, alpha=0.4)
            if self.colour.data is None:
                self.points += self.panel.plot(*missing, color=colour, markeredgewidth=0, alpha=0.85, **mark)
        if self.colour.data is not None:
            limits = {"cmap": self.colour.map, "vmin": self.colour.low, "vmax": self.colour.high}
            edge = {"edgecolors": GREY, "linewidths": 0.4, "s": area**2}
            some = np.zeros(len(self.which))
            places = (some, *[some] * (self.dim - 1))
            depth = {"depthshade": False} if self.dim == 3 else {}
            self.cloud = self.panel.scatter(*places, c=some, **limits, **edge, **depth)
            self.figure.colorbar(self.cloud, ax=self.panel, label=self.colour.label, shrink=0.8, pad=0.12)
        elif len(kinds) > 1:
            entries = group_entries(trajectory, kinds, _MOST_NAMED)
            legend(self.figure, entries if self.judged is None else [*entries, *self.judged.entries()])

    def draw(self, at, places):
        """The picture (height, width, 4) of frame `at`, bytes."""
        seen = in_space(self.projection(places), self.dim)
        self.tail = [*self.tail[-_TAIL:], seen]
        # A tail of every place, with a gap behind it: one line a group.
        paths = np.stack([*self.tail, np.full_like(seen, np.nan)], axis=1)
        for kind, tail in zip(self.kinds, self.tails, strict=True):
            self._move(tail, paths[self.group == kind].reshape(-1, self.dim))
        for kind, point in zip(self.kinds, self.points, strict=False):
            self._move(point, seen[self.group == kind])
        if self.cloud is not None:
            self.cloud.set_array(np.tile(self.colour.values(at), self.copies))
            if self.dim == 3:
                self.cloud._offsets3d = tuple(seen.T)
            else:
                self.cloud.set_offsets(seen)
        if self.judged is not None:
            self.judged.draw(at)
        self.clock.set_text(f"{self.title}, {self.word} {self._time(at):.4g}{self._ending(at)}")
        moving = (*self.tails, *self.points, *([] if self.cloud is None else [self.cloud]), self.clock)
        if self.ground is None:
            # Axes, legend and layout are those of the first frame: drawn once, and nothing jumps.
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")
            for artist in (*moving, *self.beside):
                artist.set_animated(True)  # left out when the canvas is drawn
            self.canvas.draw()
            self.ground = self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self.ground)
        for artist in moving:
            if self.dim == 3 and artist is self.cloud:
                artist.do_3d_projection()
            self.panel.draw_artist(artist)
        for artist in self.beside:
            self.right.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())

    def _ending(self, at):
        """What stands behind the time of the film's last frame, which may come before the run's."""
        if self.end is None or at != self.last:
            return ""
        word, time, _ = self.end
        return f": {word}" if self._time(at) == time else f": {word} at {time:.4g}"

    def _move(self, artist, places):
        artist.set_data_3d(*places.T) if self.dim == 3 else artist.set_data(*places.T)
