"""The estimate of a Lyapunov exponent over the time from which it is made."""

from __future__ import annotations

import numpy as np

from ._figure_kinds import figure_kind
from ._figure_style import GREY, PALETTE, UNITS, decorate, legend, line, new_figure, note, plain, titled


@figure_kind(
    "lyapunov",
    "the estimate of the largest Lyapunov exponent over time",
    sources=("Lyapunov exponent",),
    needs=lambda found: len(found.t) > 0,
    requires="an interval after the transient",
)
def draw_lyapunov(found, *, title=None, size=None):
    """The running estimate, its end with its uncertainty, and the rates of the intervals where they are in sight."""
    figure = new_figure(size)
    axes = figure.add_subplot()
    exponent, deviation = found.exponent, found.uncertainty
    axes.plot(found.t, found.rates, ".", color=GREY, markersize=3, alpha=0.5, zorder=1)
    if np.isfinite(deviation):
        axes.axhspan(exponent - deviation, exponent + deviation, color=PALETTE[1], alpha=0.2, linewidth=0)
    axes.axhline(exponent, color=PALETTE[1], linestyle="--", linewidth=1.2)
    axes.plot(found.t, found.values, color=PALETTE[0], linewidth=1.8, marker="o" if len(found.t) == 1 else None)
    decorate(axes, "time (dimensionless)", r"largest Lyapunov exponent $\lambda$")
    low, high = _in_sight(found)
    axes.set_ylim(low, high)
    outside = int(np.sum((found.rates < low) | (found.rates > high)))
    entries = [
        line("estimate so far", color=PALETTE[0], linewidth=1.8),
        line("at the end", color=PALETTE[1], linewidth=1.2, linestyle="--"),
        line("± one standard deviation", color=PALETTE[1], linewidth=8, alpha=0.2),
        line("single intervals", color=GREY, marker=".", linestyle="none", markersize=5),
    ]
    legend(figure, entries if np.isfinite(deviation) else [*entries[:2], entries[3]])
    ending = "" if np.isnan(deviation) else f" ± {deviation:.2g}"
    titled(axes, title, f"Largest Lyapunov exponent {exponent:.4g}{ending}")
    beyond = f"{outside:,} of {len(found.t):,} intervals lie outside" if outside else ""
    note(figure, "" if found.success else plain(found.message), beyond, UNITS)
    return figure


def _in_sight(found):
    """Ends of the vertical axis: all of the estimate, 0, and rates as far as they do not flatten it."""
    values = np.append(found.values, [0.0, found.exponent])
    if np.isfinite(found.uncertainty):
        values = np.append(values, found.exponent + 3 * found.uncertainty * np.array([-1, 1]))
    low, high = values.min(), values.max()
    reach = (high - low) or abs(found.exponent) or 1.0
    rates = np.clip(np.quantile(found.rates, [0.05, 0.95]), low - reach, high + reach)
    low, high = min(low, rates[0]), max(high, rates[1])
    return low - 0.05 * (high - low), high + 0.05 * (high - low)
