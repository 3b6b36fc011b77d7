"""Products without weights against BLAS: time and memory against size."""

from matplotlib.ticker import NullFormatter

from dynsim.plots._style import decorate, legend, line, new_figure

STYLES = {1: "#0072B2", 256: "#D55E00"}  # colour by the number of vectors


def product_figure(rows, break_even, *, size=(1650, 750)):
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
