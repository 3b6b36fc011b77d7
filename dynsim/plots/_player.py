"""The browser player: one HTML file that holds a trajectory and what plays it."""

from __future__ import annotations

import base64
import html
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex

from dynsim._check import as_count, as_instance, refusal
from dynsim._files import to_json, write_whole
from dynsim.trajectory import Trajectory

from ._figure import beside, expect_format
from ._figure_style import SIGNED, ramp
from ._groups import group_colours, group_names
from ._outcome import ending
from ._projection import projection_of
from ._selection import (
    chosen_neurons,
    component_of,
    has_velocities,
    is_training,
    lengths,
    particle_indices,
    some_of,
    subject,
    velocities,
)
from ._sources import opened

LARGEST = 20_000_000  # bytes of the page
_MOST_PLACES = 1_000_000  # of all frames together: 8 MB of places, 5.4 MB of signals
_MOST_PARTICLES = 2000
_MOST_FRAMES = 5000
_MOST_INDICES = 30_000  # what 16 bits can number, for lines between two frames
_SCRIPTS = ("recording", "colouring", "camera", "webgl", "canvas", "panel", "interface")
_NO_MATHEMATICS = str.maketrans("", "", "${}_")
_LARGEST_NUMBER = 8e307  # differences of larger ones overflow
_MISSING, _STEPS = 65535, 65534
_HEIGHT = 640  # pixels, in a notebook


class Page:
    """A page that plays a trajectory; a notebook shows it in the cell.

    `content` is the HTML, `report` says what is on it: `bytes`, `neurons`, `frames` and `frame_stride`.
    """

    def __init__(self, content: bytes, report: dict[str, Any]):
        self.content, self.report = content, report

    def __repr__(self):
        return f"<Page: {self.report['neurons']} neurons, {self.report['frames']} frames, {len(self.content):,} bytes>"

    def _repr_html_(self):
        # Styles and scripts of the page and of the notebook do not meet in a frame.
        text = html.escape(self.content.decode("utf-8"), quote=True)
        return f'<iframe srcdoc="{text}" width="100%" height="{_HEIGHT}" style="border: 0"></iframe>'


def page(
    source: Any,
    *,
    neurons: npt.ArrayLike | None = None,
    groups: str | int | list | None = None,
    frames: int | None = None,
    component: int = 0,
    axes: str = "auto",
    title: str | None = None,
    largest: int = 5_000_000,
) -> Page:
    """The page that `view` writes, for a notebook: of `largest` bytes at most, as the notebook keeps it.

    Arguments and errors as for `view`.

    >>> import dynsim
    >>> page(dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0), t_eval=[0.0, 0.5, 1.0])).report["frames"]
    3
    """
    as_count(component, "component", minimum=0)
    as_count(largest, "largest")
    if frames is not None:
        as_count(frames, "frames")
    if title is not None:
        as_instance(title, str, "title")
    with opened(source, Trajectory, "the player shows places over time") as trajectory:
        return _page(trajectory, neurons, groups, frames, component, axes, title, largest)


def view(
    source: Any,
    output: str | Path | None = None,
    *,
    neurons: npt.ArrayLike | None = None,
    groups: str | int | list | None = None,
    frames: int | None = None,
    component: int = 0,
    axes: str = "auto",
    title: str | None = None,
) -> dict[str, Any]:
    """Write a trajectory as one HTML file that plays it in a browser, without any network.

    Places and signals are rounded to 65,535 values an axis, and strided over neurons and frames so that the page stays
    under 20 MB; the page says so. More than three coordinates are seen along principal axes.

    `source` is the path of a trajectory file, an open `Trajectory` or a `Solution`; `output` the page, by default one
    beside the source, where no such file is replaced; `neurons` and `groups` (names or numbers) those to show (default
    up to 2,000 places, evenly spread) and `frames` how many at most; `component` of R and E; `axes` "auto",
    "coordinates" or "principal". Returns what was written, a dict of `output`, `bytes`, `neurons`, `frames`,
    `frame_stride`. Raises ValueError if the source has no frames or what was asked for does not fit, OSError if it
    cannot be written.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> folder = tempfile.mkdtemp()
    >>> with TrajectoryWriter(os.path.join(folder, "run.h5"), neurons=2, dimension=3) as writer:
    ...     for step in range(5):
    ...         writer.write(step, 0.1 * step, np.full((2, 3), step))
    >>> view(os.path.join(folder, "run.h5"), os.path.join(folder, "run.html"))["frames"]
    5
    """
    as_count(component, "component", minimum=0)
    if frames is not None:
        as_count(frames, "frames")
    if title is not None:
        as_instance(title, str, "title")
    with opened(source, Trajectory, "the player shows places over time") as trajectory:
        output = beside(trajectory, ".html") if output is None else output
        expect_format(output, ("html", "htm"), source=trajectory)
        made = _page(trajectory, neurons, groups, frames, component, axes, title, LARGEST)
    write_whole(output, made.content)
    return {"output": str(output), **made.report}


def _page(trajectory, neurons, groups, frames, component, axes, title, largest):
    header, arrays = _collect(trajectory, neurons, groups, frames, component, axes)
    header["title"] = str(title or f"dynsim: {trajectory.path.name}")
    content = _fill(header, arrays)
    if len(content) > largest:
        size = f"{header['shown']:,} neurons in {len(header['time']):,} frames, a page of {len(content) / 1e6:.0f} MB"
        raise refusal("view", size, f"at most {largest / 1e6:.0f} MB", "choose fewer neurons or frames")
    report = {"bytes": len(content), "neurons": header["shown"], "frames": len(header["time"])}
    return Page(content, {**report, "frame_stride": header["stride"]})


def _collect(trajectory, neurons, groups, frames, component, axes):
    """The page's header, a dict, and its arrays of 16 bits."""
    if not trajectory.frames:
        raise refusal(trajectory.path, "no frames yet", "some", "run longer")
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PARTICLES // trajectory.copies), groups)
    which = particle_indices(trajectory, chosen)
    if len(which) > _MOST_INDICES:
        raise refusal("neurons", f"{len(which):,} places a frame", f"at most {_MOST_INDICES:,}", "choose fewer neurons")
    most = min(_MOST_FRAMES, max(2, _MOST_PLACES // len(which))) if frames is None else frames
    stride = -(-trajectory.frames // most)
    shown = slice(None, None, stride)
    places = trajectory.places(shown, which)
    projection = projection_of(trajectory, 3, axes)
    seen = np.zeros((*places.shape[:2], 3))
    seen[..., : projection.axes.shape[1]] = projection(places)
    words, low, extent = _quantised(seen, (0, 1))
    header = {
        "low": low.tolist(),
        "range": extent.tolist(),
        "time": trajectory.time[shown].tolist(),
        "number": list(range(trajectory.frames))[shown],
        "stride": stride,
        "neurons": trajectory.neurons,
        "shown": len(chosen),
        "subject": subject(trajectory, chosen, neurons, groups).replace("\\$", "$"),
        "asked": neurons is not None or groups is not None,
        "neuron": np.tile(chosen, trajectory.copies).tolist(),
        "timeName": _time_name(trajectory),
        "axes": _axes(projection),
        "ramp": ramp(256),
        "signed": ramp(256, SIGNED),
        **_groups(trajectory, which),
    }
    arrays = {"places": words}
    header["component"] = f", component {component} of {trajectory.signals}" if (trajectory.signals or 1) > 1 else ""
    for name, data in (("received", trajectory.R), ("emitted", trajectory.E)):
        header[name] = None
        if data is not None:
            component_of(trajectory.signals, component, "signals")
            values = data.read(shown, chosen)[:, :, component].astype(float)
            arrays[name], low, extent = _quantised(values[..., None], (0, 1))
            header[name] = {"low": float(low[0]), "range": float(extent[0])}
    end = ending(trajectory)
    header["ended"] = end and end[2]
    header["speed"] = None
    if has_velocities(trajectory):
        speeds = lengths(velocities(trajectory, shown, which))
        arrays["speed"], low, extent = _quantised(speeds[..., None], (0, 1))
        header["speed"] = {"low": float(low[0]), "range": float(extent[0]), "name": _speed_name(trajectory)}
    header["facts"] = _facts(trajectory)
    header["notes"] = _notes(trajectory, header, projection)
    return header, arrays


def _quantised(values, axes):
    """Whole numbers of 16 bits that span every last axis from its least to its largest value; and these ends."""
    finite = (np.abs(values) < _LARGEST_NUMBER).all(axis=-1)  # the others have no differences
    some = values[finite]
    width = values.shape[-1]
    low, high = (some.min(axis=0), some.max(axis=0)) if len(some) else (np.zeros(width), np.zeros(width))
    extent = high - low
    with np.errstate(invalid="ignore"):
        words = np.rint((values - low) * (_STEPS / np.where(extent > 0, extent, 1.0)))
    words[~finite] = _MISSING
    return words.astype("<u2"), low, extent


def _groups(trajectory, which):
    palette = group_colours(trajectory)
    # A byte numbers a group on the page: beyond 256 they share colours.
    group = np.searchsorted(list(palette), trajectory.groups[which])
    names = list(group_names(trajectory).values())
    shown = [to_hex(colour).upper() for colour in palette.values()][:256]
    return {"group": (group % 256).tolist(), "groupNames": names[:256], "palette": shown}


def _axes(projection):
    return [label.translate(_NO_MATHEMATICS) for label in projection.labels]


def _time_name(trajectory):
    """A short word for the time; its unit is said among the notes."""
    return str(trajectory.parameters.get("time_label", "time")).split(" (")[0][:40]


def _speed_name(trajectory):
    return "displacement per epoch" if is_training(trajectory) else "speed |q'|"


def _facts(trajectory):
    copies = f", {trajectory.copies} copies" if trajectory.copies > 1 else ""
    return (
        f"{some_of(trajectory.neurons, trajectory.neurons)}{copies}, {trajectory.dimension} dimensions, "
        f"{some_of(trajectory.frames, trajectory.frames, 'frames')}"
    )


def _notes(trajectory, header, projection):
    notes = []
    if header["shown"] < trajectory.neurons:
        notes.append(f"{header['subject']}{'' if header['asked'] else ', evenly spread'}.")
    else:
        notes.append("All neurons." if trajectory.neurons > 1 else "The only neuron.")
    notes.append(
        "All frames." if header["stride"] == 1 else f"Every frame out of {header['stride']:,}; between them, lines."
    )
    if projection.principal:
        notes.append(f"Seen along {projection.note.replace(':', ',')}.")
    step = max(header["range"]) / _STEPS
    notes.append(f"Places rounded to {step:.1g}, signals and speeds to 1 / {_STEPS:,} of their range.")
    if header["speed"] is None:
        notes.append("Speed |q'| is not known, as the file does not say how it was made.")
    else:
        notes.append(
            "Speed is the displacement per epoch." if is_training(trajectory) else "Speed |q'| by equation (3)."
        )
    notes.append("Time passes evenly; between frames places are interpolated.")
    notes.append("Places, signals and times are dimensionless.")
    return notes


def _fill(header, arrays):
    """The page as bytes, with a question mark for what is no text in the name of a file."""
    folder = files("dynsim.plots") / "player"

    def text(name):
        return (folder / name).read_text(encoding="utf-8")

    parts = {
        "title": html.escape(header["title"]),
        "style": text("style.css"),
        "script": "\n".join(text(f"{name}.js") for name in _SCRIPTS),
        "header": _escaped(to_json(header)),
        **{name: "" for name in ("received", "emitted", "speed")},
        **{name: base64.b64encode(words.tobytes()).decode("ascii") for name, words in arrays.items()},
    }
    pieces = text("page.html").split("@@")
    # The template's own text and the names of parts alternate.
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces)).encode("utf-8", "replace")


def _escaped(text):
    """JSON in which no name can end the script element that holds it."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
