"""Films of neurons in motion, written frame by frame: memory does not grow with the film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dynsim._check import as_array, as_callable, as_count, as_instance, as_number
from dynsim.plots import FILMS
from dynsim.plots._encode import encoder, ffmpeg
from dynsim.plots._names import group_names
from dynsim.plots._project import Projection
from dynsim.plots._save import expect_format, written_whole
from dynsim.plots._select import chosen_neurons, evenly, particles, some_of
from dynsim.plots._source import opened
from dynsim.plots._space import decorate_space, dimensions, in_space, same_scale, space
from dynsim.plots._style import MARKS, UNITS, colours, decorate, legend, line, new_figure, note, thinned, time_label
from dynsim.trajectory import Trajectory

_MOST_FRAMES = 600  # twenty seconds
_MOST_PLACES = 2000
_MOST_NAMED = 16
_AXES_FRAMES = 50  # how many frames the axes and their limits are taken from, the first and the last among them
_BLOCK = 4_000_000  # numbers read at a time
_TAIL = 8  # frames of a path that are still seen


def animate(
    source,
    output=None,
    *,
    neurons=None,
    frames=None,
    stride=None,
    fps=30,
    dim=None,
    axes="auto",
    title=None,
    size=None,
    progress=None,
):
    """Make a film of a trajectory: mp4 by ffmpeg, or GIF by Pillow.

    `source` is the path of a trajectory file, an open `Trajectory` or a `Solution`. `output` ends in .mp4 or .gif;
    without an ending (or without an output: beside the source) it becomes mp4 where ffmpeg is installed, else GIF. Of
    the frames every `stride`-th is shown, by default so many that there are at most `frames` (600); of the neurons at
    most 2,000 places, evenly spread, or those in `neurons`: the film says so. `fps` are frames a second;
    `progress(done, all)` is called after every one. Returns a dict: `output`, `encoder` (what wrote it), `frames`,
    `stride`, `neurons`.

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
    with opened(source, Trajectory, "a film shows places over time") as trajectory:
        if not trajectory.frames:
            raise ValueError(f"{trajectory.path} holds no frames yet; run longer")
        output = _output(output, trajectory)
        shown = _shown(trajectory.frames, frames, stride)
        write = encoder(output.suffix)
        picture = _Picture(trajectory, neurons, shown, dim, axes, title, (960, 720) if size is None else size)
        with written_whole(output, FILMS) as file, write(file, picture.size, fps) as film:
            for done, (k, places) in enumerate(_frames(trajectory, picture.which, shown), 1):
                film.add(picture.draw(k, places))
                if progress is not None:
                    progress(done, len(shown))
    return {
        "output": str(output),
        "encoder": film.name,
        "frames": len(shown),
        "stride": shown.step,
        "neurons": picture.neurons,
    }


def _expect_options(frames, stride, fps, title, size, progress):
    for name, value in (("frames", frames), ("stride", stride)):
        if value is not None:
            as_count(value, name)
    if not 1 <= as_number(fps, "fps") <= 120:
        raise ValueError(f"fps: got {fps} frames a second; expected 1 to 120.")
    if title is not None:
        as_instance(title, str, "title")
    if size is not None:
        as_array(size, "size", (2,))
    as_callable(progress, "progress")


def _output(output, trajectory):
    path = Path(trajectory.path).with_suffix("") if output is None else Path(output)
    if not path.suffix:
        path = path.with_suffix(".mp4" if ffmpeg() else ".gif")
    expect_format(path, FILMS)
    return path


def _shown(count, frames, stride):
    """The frames of the film, a range."""
    if frames is not None and stride is not None:
        raise ValueError("got frames and stride, expected one of them")
    if stride is None:
        stride = -(-count // (_MOST_FRAMES if frames is None else frames))
    return range(0, count, stride)


def _frames(trajectory, which, shown):
    """Pairs of frame number and places (P, d), read a block at a time."""
    row = trajectory.neurons * trajectory.copies * trajectory.dimension
    size = max(1, _BLOCK // row)
    for start in range(0, len(shown), size):
        part = shown[start : start + size]
        block = trajectory.places(slice(part.start, part.stop, part.step), which)
        yield from zip(part, block, strict=True)


class _Picture:
    """The figure whose points move."""

    def __init__(self, trajectory, neurons, shown, dim, axes, title, size):
        self.time, self.word = trajectory.time, time_label(trajectory).split(" (")[0]
        self.dim = dimensions(trajectory, dim)
        chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PLACES // trajectory.copies))
        self.which, self.neurons = particles(trajectory, chosen), len(chosen)
        some = [shown[int(k)] for k in evenly(len(shown), _AXES_FRAMES)]
        sample = np.stack([trajectory.q[k][self.which] for k in some])
        self.projection = Projection(sample, self.dim, axes)
        width, height = (2 * (side // 2) for side in size)  # video wants even numbers
        self.figure, self.size = new_figure((width, height)), (width, height)
        self.canvas = FigureCanvasAgg(self.figure)
        self.panel = space(self.figure, self.dim)
        self._limits(in_space(self.projection(sample), self.dim))
        self._marks(trajectory, np.unique(trajectory.groups[self.which], return_inverse=True))
        self.clock = self.panel.set_title(title or "")
        self.title = title or f"{some_of(len(chosen), trajectory.neurons)}".capitalize()
        frames = thinned(len(shown), trajectory.frames, "frames")
        frames = f"{frames}, every {shown.step}." if frames else ""
        neurons = thinned(len(chosen), trajectory.neurons, "neurons")
        note(self.figure, frames, neurons, self.projection.note, UNITS)
        self.tail, self.ground = [], None

    def _limits(self, seen):
        finite = seen[np.isfinite(seen).all(axis=-1)]
        low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (-np.ones(self.dim), np.ones(self.dim))
        margin = 0.06 * np.maximum(high - low, 1e-12)
        for axis, name in enumerate("xyz"[: self.dim]):
            getattr(self.panel, f"set_{name}lim")(low[axis] - margin[axis], high[axis] + margin[axis])
        labels = [*self.projection.labels, ""][: self.dim]
        decorate(self.panel, *labels) if self.dim == 2 else decorate_space(self.panel, labels)
        same_scale(self.panel, seen, adjustable="box")

    def _marks(self, trajectory, grouped):
        """Points and tails for every group."""
        kinds, self.group = grouped
        palette, names = colours(len(kinds)), group_names(trajectory)
        area = 6 if len(self.which) <= 200 else 3.5
        missing = np.full((3, 1), np.nan)[: self.dim]
        self.points, self.tails = [], []
        for k, colour in enumerate(palette):
            mark = {"marker": MARKS[k % len(MARKS)], "markersize": area, "linestyle": "none"}
            self.tails += self.panel.plot(*missing, color=colour, linewidth=0.8, alpha=0.4)
            self.points += self.panel.plot(*missing, color=colour, markeredgewidth=0, alpha=0.85, **mark)
        named = range(len(kinds)) if len(kinds) <= _MOST_NAMED else evenly(len(kinds), _MOST_NAMED)
        if len(kinds) > 1:
            entries = [
                line(names[kinds[k]], color=palette[k], marker=MARKS[k % len(MARKS)], linestyle="none") for k in named
            ]
            legend(self.figure, entries)

    def draw(self, k, places):
        """The picture (height, width, 4) of frame `k`, bytes."""
        seen = in_space(self.projection(places), self.dim)
        self.tail = [*self.tail[-_TAIL:], seen]
        # A tail of every place, with a gap behind it: one line a group.
        paths = np.stack([*self.tail, np.full_like(seen, np.nan)], axis=1)
        for group, (point, tail) in enumerate(zip(self.points, self.tails, strict=True)):
            here = self.group == group
            self._move(point, seen[here])
            self._move(tail, paths[here].reshape(-1, self.dim))
        self.clock.set_text(f"{self.title}, {self.word} {self.time[k]:.4g}")
        moving = (*self.tails, *self.points, self.clock)
        if self.ground is None:
            # Axes, legend and layout are those of the first frame: drawn once, and nothing jumps.
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")
            for artist in moving:
                artist.set_animated(True)  # left out when the canvas is drawn
            self.canvas.draw()
            self.ground = self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self.ground)
        for artist in moving:
            self.panel.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())

    def _move(self, artist, places):
        artist.set_data_3d(*places.T) if self.dim == 3 else artist.set_data(*places.T)
