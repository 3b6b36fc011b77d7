"""How accuracy falls with the size of a perturbation."""

from dynsim.plots._comparison import compare
from dynsim.plots._style import GREY, note


def draw_noise(lines, *, title=None, size=None):
    """Accuracy against delta with its deviation over the draws: a curve for every model and kind of noise.

    The lines are what `dynsim evaluate --json` prints, one for every delta; delta = 0, the ideal, is a dashed line.
    """
    series, ideal = {}, []
    for entry in lines.entries:
        delta, accuracy = entry.get("delta"), entry.get("test_accuracy")
        if not isinstance(delta, int | float) or not isinstance(accuracy, int | float):
            continue
        if delta == 0:
            ideal.append(accuracy)
            continue
        name = ", ".join(str(entry[key]) for key in ("model", "noise") if entry.get(key))
        series.setdefault(name or "accuracy", []).append((delta, accuracy, entry.get("deviation") or 0.0))
    if not series:
        raise ValueError(f"{lines.path} has accuracies at delta 0 only; evaluate with --delta above 0, too")
    series = {name: sorted(points) for name, points in series.items()}
    what = title or "Accuracy under noise"
    figure = compare(series, r"size of the perturbation $\delta$", "test accuracy (%)", logarithmic=True, lines=True,
                     title=what, size=size)  # fmt: skip
    for accuracy in sorted(set(ideal)):
        figure.axes[0].axhline(accuracy, color=GREY, linestyle="--", linewidth=1)
        figure.axes[0].annotate("ideal", (1, accuracy), (-4, 4), ("axes fraction", "data"), "offset points", ha="right",
                                fontsize=9, color=GREY)  # fmt: skip
    note(figure, "bars: standard deviation over draws")
    return figure
