"""What all figures have in common: size, colours, legends."""

import math
import textwrap
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, SymLogNorm, to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from dynsim._check import describe, refusal

from ._picture import Picture

# Okabe & Ito's palette, which the color-blind tell apart; its yellow is left out, too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#767676"
BAD = "#B00020"  # of what says that a run did not reach its end
# Beside its colour every line has dashes and every mark a shape, so that a grey print tells them apart.
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (3, 3)), (0, (8, 2)))
MARKS = "osD^vP*X"
LARGEST_IN_SPACE = 1e90  # Matplotlib multiplies the lengths of three axes
LARGEST = 1e140  # in size, of what is drawn: ticks beyond the smallest and largest are finite, and so are squares
LARGEST_LOGARITHM = 1e250  # the same of logarithmic axes
_LEFT, _SMALL, _LARGE = 0.02, 8, 12  # where notes begin; points of their letters, and of those of titles
_MARGIN = 0.1  # inches around all
_USUAL = (1200, 800)  # pixels
_DPI = 150  # at this density matplotlib's ordinary 10 points are easy to read in the usual size
_SILENT = 1e-12  # in size, of signals
_MANY_DECADES, _MOST_TICKS = 11, 9
SCALES = ("auto", "linear", "log")


def new_figure(size=None):
    """A figure of `size` (width, height) in pixels, laid out so that nothing overlaps."""
    if size is not None and not (isinstance(size, tuple | list) and len(size) == 2):
        raise refusal("size", describe(size), "(width, height) in pixels")
    width, height = _USUAL if size is None else size
    if not (100 <= width <= 20000 and 100 <= height <= 20000):
        raise refusal("size", (width, height), "width and height from 100 to 20000 pixels")
    # Smaller figures have smaller letters, or their labels would meet.
    dpi = _DPI * min(1.0, max(0.5, min(width / _USUAL[0], height / _USUAL[1])))
    figure = Picture(figsize=(width / dpi, height / dpi), dpi=dpi, layout="constrained")
    figure.get_layout_engine().set(w_pad=_MARGIN, h_pad=_MARGIN)
    return figure


def evenly(count, most):
    """At most `most` indices below `count`, evenly spread.

    >>> evenly(10, 3).tolist()
    [0, 4, 9]
    """
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).astype(np.intp))


def colours(count):
    """`count` colours: the palette while it lasts, then a map that is even for all eyes.

    >>> len(colours(3)), len(set(colours(40)))
    (3, 40)
    """
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    return [tuple(map(float, rgba)) for rgba in colormaps["viridis"](np.linspace(0.0, 0.92, count))]


def line_styles(count):
    """`count` styles of lines, dictionaries of colour and dashes; beyond the palette the colours alone differ.

    >>> line_styles(2)[1]
    {'color': '#D55E00', 'linestyle': '--'}
    """
    dashes = DASHES if count <= len(PALETTE) else ("-",)
    return [{"color": c, "linestyle": dashes[k % len(dashes)]} for k, c in enumerate(colours(count))]


def note(figure, *texts):
    """Small print below a figure: strides, shares of variance, units; in as many lines as its width asks for."""
    lines = []
    for text in filter(None, texts):
        if lines and len(lines[-1]) + 2 + len(text) <= _letters(figure):
            lines[-1] += f"; {text}"
        else:
            lines.append(text)
    figure.supxlabel(";\n".join(lines), x=_LEFT, ha="left", fontsize=_SMALL, color=GREY)


def mark_below(figure, sentence):
    """A sentence in red below the note of a figure."""
    lines = textwrap.wrap(sentence, _letters(figure))
    # Empty lines make room for it where the layout puts the note: at the lower edge of the figure.
    room = [*filter(None, [figure.get_supxlabel()]), *(" " for _ in lines)]
    style = {"fontsize": _SMALL, "ha": "left"}
    figure.supxlabel("\n".join(room), x=_LEFT, color=GREY, **style)
    figure.text(_LEFT, _MARGIN / figure.get_figheight(), "\n".join(lines), va="bottom", color=BAD, **style)


def _letters(figure):
    """How many letters of the small print stand side by side."""
    return max(20, int(0.95 * figure.get_figwidth() * 72 / (0.56 * _SMALL)))


def thinned(shown, count, noun):
    """What a stride leaves out, in words; empty if nothing.

    >>> thinned(10, 100, "frames")
    '10 of 100 frames'
    """
    return "" if shown == count else f"{shown:,} of {count:,} {noun}"


ECHO_GAIN = r"echo gain $\rho(a\Phi)$"
UNITS = "all quantities dimensionless"


def plain(text):
    r"""A text of a file or a user for Matplotlib, which reads what stands between two dollars as mathematics.

    >>> print(plain("5 $ to 6 $"))
    5 \$ to 6 \$
    """
    return str(text).replace("$", r"\$")


def titled(place, title, default):
    """Give axes or a figure the user's title, as it was written, or else the default; in lines where it is long."""
    whole = isinstance(place, Picture)
    name, figure = (place.suptitle, place) if whole else (place.set_title, place.figure)
    most = int((0.95 if whole else 0.75) * figure.get_figwidth() * 72 / (0.56 * _LARGE))  # a legend is beside axes
    text = default if title is None else title
    lines = "\n".join(textwrap.fill(part, most) for part in text.split("\n")) if len(text) > most else text
    return name(lines) if title is None else name(lines, parse_math=False)


def time_label(trajectory):
    """The label of the time axis; a training counts its time in epochs, and says so in its configuration."""
    return plain(trajectory.parameters.get("time_label", "time (dimensionless)"))


def whole_numbers(axes, time):
    """No ticks between the times where all of these are whole, as epochs are; beyond 2^53 every number is whole."""
    if ((np.abs(time) < 2**53) & (time == np.round(time))).all():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def expect_drawable(name, values, limit=LARGEST):
    """Refuse finite numbers with which the ticks and margins of an axis would overflow; others are not drawn.

    >>> expect_drawable("time", (0.0, 1e308))
    Traceback (most recent call last):
    ...
    ValueError: time: got numbers of size 1e+308; expected less than 1e+140 in a figure; scale them down.
    """
    sizes = np.abs(values)
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    if largest >= limit:
        got, do = f"numbers of size {largest:.3g}", "scale them down"
        raise refusal(name, got, f"less than {limit:g} in a figure", do)


def unit_of(values):
    """A power of ten that numbers are divided by before they are drawn: 1 unless some are so large that axes overflow.

    >>> unit_of([1.0, np.inf]), unit_of([-3e300])
    (1.0, 1e+300)
    """
    sizes = np.abs(values)
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    return 1.0 if largest < LARGEST_IN_SPACE else float(f"1e{math.floor(math.log10(largest))}")


def in_units(label, unit):
    """The label of an axis whose numbers were divided by a unit.

    >>> in_units("distance", 1e300)
    'distance / 1e+300'
    """
    return label if unit == 1.0 else f"{label} / {unit:g}"


WIDE = 50.0  # losses that fall so far are drawn on a logarithmic axis


def scale_of(scale, label):
    """The scale of a panel: shares of a hundred have a linear one where none was asked for."""
    return "linear" if scale == "auto" and "%" in label else scale


class Decades(NamedTuple):
    """How values that span decades are drawn: the scale, where it ends or becomes linear, and words for the note."""

    signed: bool  # or with zeros: linear within +-`end`
    negative: bool
    end: float
    least: float  # powers of ten
    largest: float
    words: str

    def colours(self, low, high):
        """The same for colours between two ends."""
        if self.signed or low <= 0:
            return SymLogNorm(linthresh=self.end, vmin=low, vmax=high)
        return LogNorm(vmin=max(low, self.end), vmax=high)

    def ticks(self, low):
        """Powers of ten for a bar of such colours, with 0 instead of the least where there is one."""
        powers = [10.0**power for power in np.linspace(self.largest, self.least, 4).round()]
        if not (self.signed or low <= 0):
            return sorted(set(powers))
        above = sorted(set(powers[:-1]))
        return [*(-power for power in reversed(above) if low < 0), 0.0, *above]


def decades_of(values, scale, wide=None, calm=None):
    """How values (T, ...) are drawn on the scale that was asked for, None for a linear one.

    "auto" is logarithmic where positive values span a factor `wide` (1000), or signed ones become so many times larger
    than all that came in the first half of the frames, and than 1, as where a run diverges. An axis of signed values
    is linear around 0, up to `calm` where that is given, else up to the calmest frame that is not silent.
    """
    wide, values = 1000.0 if wide is None else wide, np.asarray(values, dtype=float)
    if scale == "linear" or not values.size or len(values) < 2:
        return None
    sizes = np.abs(values).reshape(len(values), -1)
    sizes[~np.isfinite(sizes)] = 0.0
    some = sizes[sizes > 0]
    if not len(some):
        return None
    negative = bool((values < 0).any())
    signed = negative or bool((values == 0).any())
    if scale == "auto":
        if signed:
            spans = sizes.max() > wide * max(1.0, sizes[: len(sizes) // 2 + 1].max())
        else:
            spans = some.max() > wide * some.min()
        if not spans:
            return None
    largest = math.log10(min(some.max(), LARGEST_LOGARITHM))
    beyond = f", curves end at {LARGEST_LOGARITHM:g}" if some.max() > LARGEST_LOGARITHM else ""
    rounding = min(_SILENT, some.max() * 1e-6)  # as good as 0
    if not signed:
        least = max(some.min(), rounding)
        down = f" down to {rounding:g}" if some.min() < rounding else ""
        return Decades(False, False, float(least), math.log10(least), largest, f"logarithmic axis{down}{beyond}")
    peaks = sizes.max(axis=1)
    decade = math.floor(math.log10(max(peaks[peaks > 0].min() if calm is None else calm, rounding)))
    end = float(f"1e{decade}")
    return Decades(True, negative, end, float(decade), largest, f"logarithmic axis beyond {end:g}{beyond}")


def scale_axis(axes, values, scale, wide=None, calm=None):
    """Give the vertical axis of a panel the scale of `decades_of`; returns words for the note."""
    found = decades_of(values, scale, wide, calm)
    if found is None:
        return ""
    if not found.signed:
        axes.set_yscale("log")
        _tick_decades(axes, found.least, found.largest)
        if "down to" in found.words:
            axes.set_ylim(found.end, _above(found.least, found.largest))
        return found.words
    axes.set_yscale("symlog", linthresh=found.end, linscale=max(1.0, (found.largest - found.least) / 12))
    _tick_decades(axes, found.least, found.largest, [0.0], [1.0, -1.0] if found.negative else [1.0])
    if not found.negative:
        axes.set_ylim(0, _above(found.least, found.largest))
    return found.words


def _above(least, largest):
    """The upper end of an axis over these powers of ten, with a margin."""
    return 10.0 ** (largest + 0.05 * max(1.0, largest - least))


def _tick_decades(axes, least, largest, ticks=(), signs=(1.0,)):
    """Ticks at powers of ten where many decades are spanned: Matplotlib's own go beyond what numbers can be."""
    if largest - least < _MANY_DECADES:
        return
    rows = axes.get_subplotspec().get_gridspec().nrows
    step = math.ceil((largest - least) / max(1, _MOST_TICKS // rows))
    # From above, and none near the lowest: there is 0, or the end of the axis.
    powers = 10.0 ** np.arange(math.floor(largest), math.ceil(least + step / 2), -step)
    axes.yaxis.set_major_locator(FixedLocator(sorted({*ticks, *(sign * power for sign in signs for power in powers)})))
    axes.yaxis.set_minor_locator(NullLocator())


def side_by_side(curves):
    """Values of curves as columns, the shorter ones filled with NaN.

    >>> side_by_side([[1.0, 2.0], [3.0]]).tolist()
    [[1.0, 3.0], [2.0, nan]]
    """
    longest = max(map(len, curves), default=0)
    columns = [np.pad(np.asarray(c, dtype=float), (0, longest - len(c)), constant_values=np.nan) for c in curves]
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0))


def inside(axes, values):
    """The values that a panel can draw: those beyond the end of its logarithmic axis become NaN."""
    values = np.asarray(values, dtype=float)
    return values if axes.get_yscale() == "linear" else np.where(np.abs(values) < LARGEST_LOGARITHM, values, np.nan)


def decorate(axes, x, y):
    """Axis labels, a light grid, no box; after the data, which are expected to be drawable."""
    expect_drawable(x or "the horizontal axis", axes.dataLim.intervalx)  # panels above others have no label
    expect_drawable(y, axes.dataLim.intervaly, LARGEST if axes.get_yscale() == "linear" else LARGEST_LOGARITHM)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure, handles, title=None):
    """A legend beside the axes, never over the data."""
    if handles:
        figure.legend(handles=handles, loc="outside right upper", frameon=False, title=title, fontsize=9)


def line(label, **style):
    """An entry of a legend, whose name may come from a file."""
    made = Line2D([], [], **style)
    # Matplotlib leaves out what begins with an underscore: a space without width goes before it.
    made.set_label(plain(f"\u200b{label}" if str(label).startswith("_") else label))
    return made


def rest_entry(count, shown):
    """An entry that says how many of `count` a legend leaves out; none if it leaves out nothing.

    >>> [entry.get_label() for entry in rest_entry(1030, 16)], rest_entry(3, 3)
    (['and 1,014 more'], [])
    """
    return [line(f"and {count - shown:,} more", linestyle="none")] if count > shown else []


def end_entries():
    """Entries of a legend for the marks of start and end."""
    return [
        line("start", color=GREY, marker="o", linestyle="none", markerfacecolor="white", markersize=6),
        line("end", color=GREY, marker="o", linestyle="none", markersize=6),
    ]


def mark_ends(axes, paths, colour):
    """Hollow circles where paths (T, P, 2 or 3) start, filled ones at their last finite places."""
    size = 5 if paths.shape[1] <= 40 else 3
    for index, path in enumerate(np.swapaxes(paths, 0, 1)):
        finite = path[np.isfinite(path).all(axis=1)]
        if len(finite):
            edge = colour[index]
            axes.plot(*finite[0][:, None], "o", markersize=size, color=edge, markerfacecolor="white", zorder=4)
            axes.plot(*finite[-1][:, None], "o", markersize=size, color=edge, zorder=5)


AMOUNTS, SIGNED = "viridis", "RdBu_r"  # colours of values from 0 on, and of signed ones, whose white is 0


def ramp(count, name=AMOUNTS):
    """`count` colours of a map as "#rrggbb": from dark to light in even steps for all eyes, and in grey.

    >>> ramp(2)
    ['#440154', '#fde725']
    """
    return [to_hex(rgba) for rgba in colormaps[name](np.linspace(0.0, 1.0, count))]


def value_colours(values):
    """The colour map and its two ends for values: around 0 where some are negative, else from the least to the largest.

    >>> value_colours(np.array([-1.0, 3.0, np.nan]))
    ('RdBu_r', -3.0, 3.0)
    """
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if low < 0:
        largest = max(-low, high)
        return SIGNED, -largest, largest
    return AMOUNTS, low, high if high > low else low + 1.0
