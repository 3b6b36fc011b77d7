"""Layers around attention: images cut into tokens, positions, bypasses, and one vector from all tokens.

Signals are (batch, tokens, width) arrays to the outside; in memory the width lies first, as `Linear` leaves it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import as_count, as_instance, refusal

from ._layer import Layer, ParameterLike, as_parameter
from ._prepared import Prepared


class Patches(Layer):
    """Cut images into squares, one token each, its signals the square's pixels (channel, row, column).

    Followed by a full layer it is the patch embedding (Dosovitskiy et al., ICLR 2021).

    Examples
    --------
    >>> import numpy as np
    >>> Patches(2).forward(np.arange(16.0).reshape(1, 1, 4, 4))[0, 1]
    array([2., 3., 6., 7.])
    """

    def __init__(self, size: int):
        self.size = as_count(size, "size")

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map (batch, channels, height, width) to (batch, tokens, channels size^2), tokens row by row."""
        p = self.size
        if x.ndim != 4 or x.shape[2] % p or x.shape[3] % p or not x.size:
            raise refusal("x", f"shape {x.shape}", f"(batch, channels, height, width), multiples of {p}")
        batch, channels, height, width = x.shape
        squares = x.reshape(batch, channels, height // p, p, width // p, p).transpose(1, 3, 5, 0, 2, 4)
        if training:
            self.memory = squares.shape
        return np.moveaxis(np.ascontiguousarray(squares).reshape(channels * p * p, batch, -1), 0, -1)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx in the images' shape."""
        channels, p, _, batch, rows, columns = self.memory
        squares = np.moveaxis(dy, -1, 0).reshape(self.memory)
        return squares.transpose(3, 0, 4, 1, 5, 2).reshape(batch, channels, rows * p, columns * p)

    def to_onnx(self, graph, x: str) -> str:
        """Two reshapes with a transposition between them."""
        channels, height, width = graph.image
        p = self.size
        squares = graph.reshape(x, 0, channels, height // p, p, width // p, p)
        squares = graph.add("Transpose", squares, perm=[0, 2, 4, 1, 3, 5])
        return graph.reshape(squares, 0, height // p * (width // p), channels * p * p)


class Positions(Layer):
    """Add a learned vector to every token according to its position, `value` (tokens, width).

    Examples
    --------
    >>> import numpy as np
    >>> Positions(np.eye(2)).forward(np.zeros((1, 2, 2)))
    array([[[1., 0.],
            [0., 1.]]])
    """

    def __init__(self, value: ParameterLike):
        self.value = as_parameter(value, "weights", "value", ("tokens", "width"))

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Add it to (batch, tokens, width)."""
        if x.shape[1:] != self.value.value.shape:
            raise refusal("x", f"shape {x.shape}", f"(batch, *{self.value.value.shape})")
        return x + self.value.value

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx, which is dL/dy."""
        self.value.add(dy.sum(axis=0))
        return dy

    def to_onnx(self, graph, x: str) -> str:
        """An addition."""
        return graph.add("Add", x, graph.constant(self.value.value))


class ClassToken(Layer):
    """Put a learned token, `value` (width,), before all others; `FirstToken` takes it out again.

    Examples
    --------
    >>> import numpy as np
    >>> ClassToken(np.ones(3)).forward(np.zeros((2, 4, 3))).shape
    (2, 5, 3)
    """

    def __init__(self, value: ParameterLike):
        self.value = as_parameter(value, "weights", "value", ("width",))

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map (batch, tokens, width) to (batch, 1 + tokens, width)."""
        if x.ndim != 3 or x.shape[2] != len(self.value.value):
            raise refusal("x", f"shape {x.shape}", f"(batch, tokens, {len(self.value.value)})")
        y = np.empty((x.shape[2], len(x), 1 + x.shape[1]), x.dtype)
        y[:, :, 0], y[:, :, 1:] = self.value.value[:, None], np.moveaxis(x, -1, 0)
        return np.moveaxis(y, 0, -1)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx."""
        self.value.add(dy[:, 0].sum(axis=0))
        return dy[:, 1:]

    def to_onnx(self, graph, x: str) -> str:
        """The token, once for every image, and the others behind it."""
        first = graph.add("Slice", x, *(graph.constant([n], np.int64) for n in (0, 1, 1)))  # (batch, 1, width)
        zeros = graph.add("Mul", first, graph.constant(0.0))
        token = graph.add("Add", zeros, graph.constant(self.value.value))
        return graph.add("Concat", token, x, axis=1)


class FirstToken(Layer):
    """(batch, tokens, width) to (batch, width): the first token.

    Examples
    --------
    >>> import numpy as np
    >>> FirstToken().forward(np.zeros((5, 4, 3))).shape
    (5, 3)
    """

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Take it."""
        if training:
            self.memory = x.shape
        return x[:, 0]

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx: nothing for the other tokens."""
        batch, tokens, width = self.memory
        dx = np.zeros((width, batch, tokens), dy.dtype)
        dx[:, :, 0] = dy.T
        return np.moveaxis(dx, 0, -1)

    def to_onnx(self, graph, x: str) -> str:
        """The first token."""
        return graph.add("Gather", x, graph.constant(0, np.int64), axis=1)


class TokenMean(Layer):
    """(batch, tokens, width) to (batch, width): the mean of all tokens.

    Examples
    --------
    >>> import numpy as np
    >>> TokenMean().forward(np.arange(4.0).reshape(1, 2, 2))
    array([[1., 2.]])
    """

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Average over the tokens."""
        if training:
            self.memory = x.shape[1]
        return x.mean(axis=1)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx: the same for every token."""
        shared = dy.T / dy.dtype.type(self.memory)
        return np.moveaxis(np.repeat(shared[:, :, None], self.memory, axis=2), 0, -1)

    def to_onnx(self, graph, x: str) -> str:
        """The mean over the tokens."""
        return graph.add("ReduceMean", x, axes=[1], keepdims=0)


class Skip(Layer):
    """Where a bypass begins: signals go on and are kept for the `Add` that ends it (He et al., CVPR 2016).

    Examples
    --------
    >>> import numpy as np
    >>> skip = Skip()
    >>> Add(skip).forward(2 * skip.forward(np.ones(1)))
    array([3.])
    """

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Keep the signals."""
        self.kept = x
        return x

    def keep(self, inference: str, columns: int) -> Prepared:
        """Make the prepared layer, which keeps signals in the `bypass` of a call."""
        return Prepared(self, self._send, bypassed=True)

    def _send(self, x, bypass):
        bypass[id(self)] = x
        return x

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx: what came through the layers between and what came by the bypass."""
        return dy + self.returned

    def to_onnx(self, graph, x: str) -> str:
        """Keep the name of the signals for `Add`."""
        graph.kept[id(self)] = x
        return x


class Add(Layer):
    """Where the bypass that begins at `skip` ends: x plus the signals kept there.

    Examples
    --------
    >>> import numpy as np
    >>> skip = Skip()
    >>> _ = skip.forward(np.ones(2)); Add(skip).forward(np.zeros(2))
    array([1., 1.])
    """

    def __init__(self, skip: Skip):
        self.skip = as_instance(skip, Skip, "skip")

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Add what was kept, and forget it."""
        kept, self.skip.kept = self.skip.kept, None
        return x + kept

    def keep(self, inference: str, columns: int) -> Prepared:
        """Make the prepared layer, which takes signals from the `bypass` of a call."""
        return Prepared(self, self._receive, bypassed=True)

    def _receive(self, x, bypass):
        if id(self.skip) not in bypass:
            raise refusal("bypass", "none", "that of the Skip layer", "prepare the model that has both")
        return x + bypass.pop(id(self.skip))

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx; the same goes back by the bypass."""
        self.skip.returned = dy
        return dy

    def to_onnx(self, graph, x: str) -> str:
        """An addition of the signals that were kept."""
        return graph.add("Add", x, graph.kept.pop(id(self.skip)))
