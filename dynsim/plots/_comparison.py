"""Numbers of several kinds against each other: points with error bars, or lines; products against BLAS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import LogLocator, NullFormatter

from dynsim._check import as_flag, as_instance

from ._figure_style import GREY, MARKS, colours, decorate, legend, line, new_figure, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW_DECADES = 30  # ratio of the largest to the smallest value of an axis


def compare(
    series: Mapping[str, Sequence[tuple[float, ...]]],
    *,
    x: str,
    y: str,
    logarithmic: bool = False,
    logarithmic_y: bool = False,
    lines: bool = False,
    beside: Mapping[str, Sequence[tuple[float, ...]]] | None = None,
    title: str | None = None,
    size: tuple[int, int] | None = None,
) -> Figure:
    """A figure of several series of points.

    `series` is a dict {name: points}, points a list of (x, y) or (x, y, deviation); `x` and `y` label the axes;
    `logarithmic` is for the horizontal axis and `logarithmic_y` for the vertical one; `lines` connects the points of a
    series. What is `beside` them, as published points, is grey and not connected. Returns the matplotlib Figure.

    >>> compare({"ours": [(1, 2.0, 0.1)], "published": [(1, 1.5)]}, x="memory", y="accuracy").axes[0].get_xlabel()
    'memory'
    """
    beside = {} if beside is None else beside
    for name, value in (("series", series), ("beside", beside)):
        as_instance(value, Mapping, name)
    for name, value in (("x", x), ("y", y), ("title", "" if title is None else title)):
        as_instance(value, str, name)
    as_flag(logarithmic, "logarithmic")
    as_flag(logarithmic_y, "logarithmic_y")
    as_flag(lines, "lines")
    figure = new_figure(size)
    axes = figure.add_subplot()
    handles = []
    drawn, shades = [*series.items(), *beside.items()], [*colours(len(series)), *len(beside) * [GREY]]
    for number, ((name, points), colour) in enumerate(zip(drawn, shades, strict=True)):
        mark = MARKS[number % len(MARKS)]
        style = {"marker": mark, "linestyle": "-" if lines and number < len(series) else "none", "markersize": 6}
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        errors = [point[2] if len(point) > 2 else 0.0 for point in points]
        axes.errorbar(xs, ys, yerr=errors if any(errors) else None, color=colour, capsize=3, **style)
        handles.append(line(name, color=colour, **style))
    if logarithmic:
        axes.set_xscale("log")
    if logarithmic_y:
        axes.set_yscale("log")
    decorate(axes, x, y)
    for axis, chosen, place in ((axes.xaxis, logarithmic, 0), (axes.yaxis, logarithmic_y, 1)):
        if chosen:
            _tick_in_numbers(axis, [point[place] for _, points in drawn for point in points if point[place] > 0])
    if title:
        titled(axes, title, "")
    legend(figure, handles)
    return figure


def _tick_in_numbers(axis, values):
    """Write the ticks of a logarithmic axis as plain numbers, 1, 2, 3 and 5 of a decade, where it spans few decades."""
    span = max(values, default=1) / min(values, default=1)
    if span > _FEW_DECADES:
        return
    axis.set_minor_locator(LogLocator(subs=(2, 3, 5) if span > 3 else range(2, 10)))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter("{x:,g}")


STYLES = {1: "#0072B2", 256: "#D55E00"}  # colour by the number of vectors


def product_figure(
    rows: Sequence[Mapping[str, Any]], break_even: Mapping[int, int | None], *, size: tuple[int, int] = (1650, 750)
) -> Figure:
    """Time (left) and peak memory (right) against sqrt(m n), from the rows of `dynsim bench product`.

    `break_even` is a dict {vectors: size or None}; it is marked by a vertical line. Returns the matplotlib Figure.

    >>> row = {"m": 4, "n": 9, "columns": 1, "ours": {"seconds": 1e-3, "peak_gib": 0.1}}
    >>> rows = [{**row, "blas": {"seconds": 2e-3, "peak_gib": 0.2}}]
    >>> product_figure(rows, {1: None}).axes[0].get_ylabel()
    'seconds a product'
    """
    figure = new_figure(size)
    time, memory = figure.subplots(1, 2)
    handles = []
    for columns, colour in STYLES.items():
        chosen = [row for row in rows if row["columns"] == columns and "profile" not in row and "blas" in row]
        if not chosen:
            continue
        xs = [(row["m"] * row["n"]) ** 0.5 for row in chosen]
        for name, label, style in (("ours", "without weights", "-"), ("blas", "BLAS, full matrix", "--")):
            marks = {"marker": "o" if name == "ours" else "s", "linestyle": style, "markersize": 5}
            time.plot(xs, [row[name]["seconds"] for row in chosen], color=colour, **marks)
            memory.plot(xs, [row[name]["peak_gib"] for row in chosen], color=colour, **marks)
            vectors = "1 vector" if columns == 1 else f"{columns} vectors"
            handles.append(line(f"{label}, {vectors}", color=colour, **marks))
        if break_even.get(columns):
            time.axvline(break_even[columns], color=colour, linewidth=1, linestyle=":")
            handles.append(line(f"break-even at {break_even[columns]:,}", color=colour, linewidth=1, linestyle=":"))
    for axes, label in ((time, "seconds a product"), (memory, "peak memory of the process, GiB")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        decorate(axes, "size, square root of sources times targets", label)
        axes.yaxis.set_minor_formatter(NullFormatter())
    legend(figure, handles)
    return figure
