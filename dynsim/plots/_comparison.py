"""Numbers of several kinds against each other: points with error bars, or lines."""

from dynsim.plots._style import MARKS, colours, decorate, legend, line, new_figure


def compare(series, x, y, *, logarithmic=False, lines=False, title=None, size=None):
    """A figure of several series of points.

    `series` is a dict {name: points}, points a list of (x, y) or (x, y, deviation); `x` and `y` label the axes;
    `logarithmic` is for the horizontal axis; `lines` connects the points of a series. Returns the matplotlib Figure.

    >>> compare({"ours": [(1, 2.0, 0.1)], "published": [(1, 1.5)]}, "memory", "accuracy").axes[0].get_xlabel()
    'memory'
    """
    figure = new_figure(size)
    axes = figure.add_subplot()
    handles = []
    for number, ((name, points), colour) in enumerate(zip(series.items(), colours(len(series)), strict=True)):
        mark = MARKS[number % len(MARKS)]
        style = {"marker": mark, "linestyle": "-" if lines else "none", "markersize": 6}
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        errors = [point[2] if len(point) > 2 else 0.0 for point in points]
        axes.errorbar(xs, ys, yerr=errors if any(errors) else None, color=colour, capsize=3, **style)
        handles.append(line(name, color=colour, **style))
    if logarithmic:
        axes.set_xscale("log")
    decorate(axes, x, y)
    if title:
        axes.set_title(title)
    legend(figure, handles)
    return figure
