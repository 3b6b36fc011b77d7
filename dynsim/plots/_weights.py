"""The weights that places stand for."""

import numpy as np

from dynsim.plots._style import decorate, new_figure, note

_MOST_PANELS = 6
_MOST_PIXELS = 1000  # of a side; larger matrices are averaged over blocks


def draw_weights(model, *, layer=None, title=None, size=None):
    """Every layer's weight matrix [to, from] as its places give it; `layer` picks one, counted in the model.

    Dark is negative, light positive, on one even scale, so that it reads in grey. A convolution's (n_out, n_in, k, k)
    is drawn as n_out rows of all its kernels' numbers.
    """
    found = {k: one for k, one in enumerate(model.layers) if one.weighted}
    if layer is not None and layer not in found:
        raise ValueError(f"got layer {layer!r}, expected one of {', '.join(map(str, found))}, which have weights")
    shown = [layer] if layer is not None else list(found)[:_MOST_PANELS]
    figure = new_figure(size)
    columns = min(3, len(shown)) if len(shown) != 4 else 2
    rows = -(-len(shown) // columns)
    for place, k in enumerate(shown):
        weights = np.asarray(found[k].materialize(), dtype=float)
        axes = figure.add_subplot(rows, columns, place + 1)
        matrix = weights.reshape(len(weights), -1)
        limit = float(np.quantile(np.abs(matrix), 0.99)) or 1.0
        image = axes.imshow(_blocks(matrix), cmap="cividis", vmin=-limit, vmax=limit, aspect="auto",
                            extent=(-0.5, matrix.shape[1] - 0.5, matrix.shape[0] - 0.5, -0.5))  # fmt: skip
        decorate(axes, _source(weights), "to neuron" if weights.ndim == 2 else "to channel")
        axes.grid(False)
        shape = " x ".join(map(str, weights.shape))
        axes.set_title(f"layer {k}, {type(found[k]).__name__}: {shape}", fontsize=10)
        bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85)
        bar.set_label("weight" if (place + 1) % columns == 0 or place == len(shown) - 1 else "")
    figure.suptitle(title or "Weights that the places stand for")
    rest = len(found) - len(shown) if layer is None else 0
    note(figure, "colours end where 99 % of the weights are", f"{rest} more layers: choose one" if rest else "")
    return figure


def _source(weights):
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
