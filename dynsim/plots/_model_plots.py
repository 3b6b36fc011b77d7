"""The weights of a model, and its layers as boxes."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from dynsim._check import refusal
from dynsim.layers import Flatten

from ._figure_kinds import figure_kind
from ._figure_style import GREY, PALETTE, SIGNED, decorate, evenly, legend, line, new_figure, note, plain, titled
from ._selection import some_of

_MOST_PANELS = 6
_MOST_FILTERS = 70
_MOST_PIXELS = 1000  # of a side; larger matrices are averaged over blocks
_PER_COLUMN = 12
_MOST_LAYERS = 72
_COLOURS = {"places": PALETTE[0], "weights": PALETTE[1], "norm": PALETTE[2]}
_NAMES = {"places": "places of neurons", "weights": "ordinary weights", "norm": "norm", "": "no numbers"}


@figure_kind(
    "weights",
    "the weights that places stand for",
    sources=("model",),
    needs=lambda model: any(layer.weighted for layer in model.layers),
    requires="a layer with weights",
)
def draw_weights(model, *, layer=None, title=None, size=None):
    """Every layer's weight matrix [to, from] as its places give it; `layer` picks one, as "conv2" or its number.

    Red is positive, blue negative, white 0. A convolution's (n_out, n_in, k, k) is drawn as n_out rows of all its
    kernels' numbers.
    """
    found = _weighted(model)
    layer = _layer_number(model, layer)
    shown = [layer] if layer is not None else list(found)[:_MOST_PANELS]
    figure = new_figure(size)
    columns = min(3, len(shown)) if len(shown) != 4 else 2
    rows = -(-len(shown) // columns)
    for place, k in enumerate(shown):
        weights = np.asarray(found[k].materialize(), dtype=float)
        axes = figure.add_subplot(rows, columns, place + 1)
        matrix = weights.reshape(len(weights), -1)
        limit = float(np.quantile(np.abs(matrix), 0.99)) or 1.0
        style = {"cmap": SIGNED, "vmin": -limit, "vmax": limit, "aspect": "auto", "interpolation": "nearest"}
        ends = (-0.5, matrix.shape[1] - 0.5, matrix.shape[0] - 0.5, -0.5)
        image = axes.imshow(_blocks(matrix), extent=ends, **style)
        decorate(axes, _column_label(weights), "to neuron" if weights.ndim == 2 else "to channel")
        axes.grid(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        shape = " x ".join(map(str, weights.shape))
        axes.set_title(f"{model.layer_names[k]}: {shape}", fontsize=10)
        bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85)
        bar.set_label("weight" if (place + 1) % columns == 0 or place == len(shown) - 1 else "")
    titled(figure, title, "Weights that the places stand for")
    rest = len(found) - len(shown) if layer is None else 0
    note(figure, "colours end where 99 % of the weights are", f"{rest} more layers: choose one" if rest else "")
    return figure


def _weighted(model):
    """{number: layer} of the layers with weights."""
    return {k: layer for k, layer in enumerate(model.layers) if layer.weighted}


def _layer_number(model, layer):
    """The number of a layer with weights, given by number or name; None stays None."""
    if layer is None:
        return None
    names = {model.layer_names[k]: k for k in _weighted(model)}
    known = {**names, **{str(k): k for k in names.values()}}
    if str(layer) not in known:
        wanted = ", ".join(f"{name} ({k})" for name, k in names.items())
        raise refusal("layer", repr(layer), f"one of {wanted}, which have weights")
    return known[str(layer)]


@figure_kind(
    "filters",
    "the weights of a layer as images, one for every neuron",
    sources=("model",),
    needs=lambda model: bool(_image_layers(model)),
    requires="a convolution, or a first layer that reads images",
)
def draw_filters(model, *, layer=None, title=None, size=None):
    """Weights of a convolution's kernels, or of the first layer's neurons, as images; red positive, blue negative.

    Of a kernel over several channels the first three are shown, beside each other. `layer` is a name, as "conv2", or a
    number; by default it is the first that has images.
    """
    found = _image_layers(model)
    number = found[0] if layer is None else _layer_number(model, layer)
    if number not in found:
        wanted = ", ".join(model.layer_names[k] for k in found)
        raise refusal("layer", repr(layer), f"one whose weights are images: {wanted}")
    kernels = _as_images(model, number)
    total, channels = kernels.shape[:2]
    shown = evenly(total, _MOST_FILTERS)
    columns = int(np.ceil(np.sqrt(len(shown) * 1.4)))
    rows = -(-len(shown) // columns)
    figure = new_figure(size)
    panels = figure.subplots(rows, columns, squeeze=False)
    limit = float(np.quantile(np.abs(kernels), 0.99)) or 1.0
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, k in zip(panels.flat, shown, strict=False):
        some = kernels[k, :3]
        # A column without a number between channels keeps them apart.
        gap = np.full((some.shape[1], 1), np.nan)
        tiles = [part for channel in some for part in (channel, gap)][:-1]
        shape = "equal" if some.shape[1] > 1 else "auto"  # a row of numbers is no image: it becomes a bar code
        picture = axes.imshow(np.concatenate(tiles, axis=1), cmap=SIGNED, vmin=-limit, vmax=limit, aspect=shape)
        axes.set_title(str(k), fontsize=7, pad=2)
    figure.colorbar(picture, ax=panels, label="weight", shrink=0.7, extend="both")
    what = "kernels" if model.layers[number].convolves else "neurons"
    titled(figure, title, f"Weights of {some_of(len(shown), total, what)} of {model.layer_names[number]}")
    note(figure, f"the first 3 of {channels} channels" if channels > 3 else "", "white: 0")
    return figure


def _image_layers(model):
    """Numbers of the layers whose weights are images: convolutions, and a first layer that reads the image itself."""
    weighted = _weighted(model)
    first = min(weighted, default=None)
    reads = first is not None and model.image and all(isinstance(one, Flatten) for one in model.layers[:first])
    return [k for k, layer in weighted.items() if layer.convolves or (k == first and reads)]


def _as_images(model, number):
    """The weights of a layer as images (n, channels, height, width)."""
    weights = np.asarray(model.layers[number].materialize(), dtype=float)
    if weights.ndim == 3:  # of a depthwise convolution
        return weights[:, None]
    return weights if weights.ndim == 4 else weights.reshape(-1, *model.image)


def _column_label(weights):
    return "from neuron" if weights.ndim == 2 else "from channel, row, column"


def _blocks(matrix):
    """The matrix, averaged over blocks where it has more numbers than a picture has points.

    >>> _blocks(np.ones((2000, 3))).shape
    (1000, 3)
    """
    rows, columns = (-(-side // _MOST_PIXELS) for side in matrix.shape)
    if rows == columns == 1:
        return matrix
    matrix = np.add.reduceat(matrix, np.arange(0, matrix.shape[0], rows), axis=0)
    return np.add.reduceat(matrix, np.arange(0, matrix.shape[1], columns), axis=1) / (rows * columns)


@figure_kind("layers", "the layers of a model, and the neurons that they share", sources=("model",))
def draw_layers(model, *, title=None, size=None):
    """From inputs (top left) to scores: a box a layer with its numbers; arcs for neurons that layers share."""
    shown = model.layers[:_MOST_LAYERS]
    columns = -(-len(shown) // _PER_COLUMN)
    rows = min(len(shown), _PER_COLUMN)
    figure = new_figure(size or (max(1200, 1080 * columns), max(500, 110 * rows + 240)))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.1, columns + 0.05)
    axes.set_ylim(-rows, 0.1)
    place = [(k // _PER_COLUMN, -(k % _PER_COLUMN) - 0.5) for k in range(len(shown))]
    for k, layer in enumerate(shown):
        _box(axes, *place[k], k, f"{model.layer_names[k]} ({type(layer).__name__})", layer)
        if k:
            _arrow(axes, place[k - 1], place[k])
    _shared(axes, shown, place)
    config = model.config.get("model", "model")
    default = f"{plain(config)}: {len(model.layers)} layers, {_stored(model.parameters):,} numbers that learn"
    titled(axes, title, default)
    kinds = dict.fromkeys(_kind(layer) for layer in shown)
    legend(figure, [line(_NAMES[kind], color=_COLOURS.get(kind, GREY), linewidth=6) for kind in kinds])
    rest = len(model.layers) - len(shown)
    note(figure, "arcs and words: layers that share neurons", f"{rest} further layers not drawn" if rest else "")
    return figure


def _kind(layer):
    """Which numbers a layer has: the first of places, weights and norms."""
    kinds = {parameter.kind for parameter in layer.parameters.values()}
    return next((kind for kind in _COLOURS if kind in kinds), "")


def _stored(parameters):
    return sum(parameter.stored for parameter in parameters.values())


def _box(axes, x, y, number, name, layer):
    colour = _COLOURS.get(_kind(layer), GREY)
    box = FancyBboxPatch((x + 0.12, y - 0.3), 0.68, 0.6, boxstyle="round,pad=0,rounding_size=0.05", linewidth=1.5,
                         edgecolor=colour, facecolor=(*_rgb(colour), 0.12))  # fmt: skip
    axes.add_patch(box)
    axes.text(x + 0.14, y + 0.1, f"{number}  {name}", va="center", fontsize=9, weight="bold")
    axes.text(x + 0.14, y - 0.14, _describe(layer), va="center", fontsize=7.5)


def _rgb(colour):
    return tuple(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))


def _describe(layer):
    shapes = {name: parameter.value.shape for name, parameter in layer.parameters.items()}
    if not shapes:
        return "no numbers that learn"
    first = next(iter(shapes))
    main = [f"{name} {' x '.join(map(str, shapes[name]))}" for name in shapes if name.startswith(first.split("_")[0])]
    return f"{', '.join(main[:2])}; {_stored(layer.parameters):,} numbers"


def _arrow(axes, start, end):
    (x0, y0), (x1, y1) = start, end
    if x0 == x1:
        ends = (x0 + 0.46, y0 - 0.3), (x1 + 0.46, y1 + 0.3)
    else:
        ends = (x0 + 0.8, y0), (x1 + 0.12, y1)
    axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=GREY, shrinkA=0, shrinkB=0))


def _shared(axes, layers, place):
    """Arcs on the left between layers that hold the same places; words, where the layer before is in another column."""
    style = {"va": "center", "ha": "right", "fontsize": 7.5, "color": PALETTE[0], "rotation": 90}
    last, apart = {}, {}
    for k, layer in enumerate(layers):
        for parameter in layer.parameters.values():
            before = last.get(id(parameter))
            if before is not None and parameter.kind == "places":
                neurons = f"{parameter.value.shape[-2]} shared"
                if place[before][0] == place[k][0]:
                    ends = [(place[j][0] + 0.12, place[j][1]) for j in (before, k)]
                    dashed = {"linewidth": 1.8, "linestyle": "--", "color": PALETTE[0], "shrinkA": 0, "shrinkB": 0}
                    bent = {"connectionstyle": "arc3,rad=0.35", "arrowstyle": "-"}
                    axes.add_patch(FancyArrowPatch(*ends, **bent, **dashed))
                    axes.text(ends[0][0] - 0.12, (ends[0][1] + ends[1][1]) / 2, neurons, **style)
                else:
                    apart.setdefault(k, {})[f"{neurons} with layer {before}"] = None
            last[id(parameter)] = k
    for k, texts in apart.items():  # above the arrow that comes from the column before
        style = {"va": "bottom", "ha": "left", "fontsize": 7.5, "color": PALETTE[0]}
        axes.text(place[k][0] + 0.12, place[k][1] + 0.31, "; ".join(texts), **style)
