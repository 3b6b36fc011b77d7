"""Around attention: images cut into tokens, where a token is, what bypasses a layer, and tokens gathered to one.

Signals are (batch, tokens, width) arrays to the outside; in memory the width lies first, as `Linear` leaves it.
"""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_count

from ._parameter import as_parameter


class Patches:
    """Cut images into squares, one token each, its signals the square's pixels (channel, row, column).

    Followed by a full layer it is the patch embedding (Dosovitskiy et al., ICLR 2021).

    Examples
    --------
    >>> import numpy as np
    >>> Patches(2).forward(np.arange(16.0).reshape(1, 1, 4, 4))[0, 1]
    array([2., 3., 6., 7.])
    """

    parameters: dict = {}  # noqa: RUF012 - empty for every instance

    def __init__(self, size):
        self.size = as_count(size, "size")

    def forward(self, x, training=False):
        """Map (batch, channels, height, width) to (batch, tokens, channels size^2), tokens row by row."""
        p = self.size
        if x.ndim != 4 or x.shape[2] % p or x.shape[3] % p or not x.size:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, channels, height, width), multiples of {p}.")
        batch, channels, height, width = x.shape
        squares = x.reshape(batch, channels, height // p, p, width // p, p).transpose(1, 3, 5, 0, 2, 4)
        if training:
            self.memory = squares.shape
        return np.moveaxis(np.ascontiguousarray(squares).reshape(channels * p * p, batch, -1), 0, -1)

    def backward(self, dy):
        """Return dL/dx in the images' shape."""
        channels, p, _, batch, rows, columns = self.memory
        squares = np.moveaxis(dy, -1, 0).reshape(self.memory)
        return squares.transpose(3, 0, 4, 1, 5, 2).reshape(batch, channels, rows * p, columns * p)


class Positions:
    """Add to every token what stands for its position, `value` (tokens, width), learned.

    Examples
    --------
    >>> import numpy as np
    >>> Positions(np.eye(2)).forward(np.zeros((1, 2, 2)))
    array([[[1., 0.],
            [0., 1.]]])
    """

    def __init__(self, value):
        self.value = as_parameter(value, "weights")
        as_array(self.value.value, "value", ("tokens", "width"))

    @property
    def parameters(self):
        """What is added."""
        return {"value": self.value}

    def forward(self, x, training=False):
        """Add it to (batch, tokens, width)."""
        if x.shape[1:] != self.value.value.shape:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, *{self.value.value.shape}).")
        return x + self.value.value

    def backward(self, dy):
        """Return dL/dx, which is dL/dy."""
        self.value.add(dy.sum(axis=0))
        return dy


class ClassToken:
    """Put a learned token, `value` (width,), before all others; `FirstToken` takes from it what it has gathered.

    Examples
    --------
    >>> import numpy as np
    >>> ClassToken(np.ones(3)).forward(np.zeros((2, 4, 3))).shape
    (2, 5, 3)
    """

    def __init__(self, value):
        self.value = as_parameter(value, "weights")
        as_array(self.value.value, "value", ("width",))

    @property
    def parameters(self):
        """The token."""
        return {"value": self.value}

    def forward(self, x, training=False):
        """Map (batch, tokens, width) to (batch, 1 + tokens, width)."""
        if x.ndim != 3 or x.shape[2] != len(self.value.value):
            raise ValueError(f"x: got shape {x.shape}; expected (batch, tokens, {len(self.value.value)}).")
        y = np.empty((x.shape[2], len(x), 1 + x.shape[1]), x.dtype)
        y[:, :, 0], y[:, :, 1:] = self.value.value[:, None], np.moveaxis(x, -1, 0)
        return np.moveaxis(y, 0, -1)

    def backward(self, dy):
        """Return dL/dx."""
        self.value.add(dy[:, 0].sum(axis=0))
        return dy[:, 1:]


class FirstToken:
    """(batch, tokens, width) to (batch, width): the first token.

    Examples
    --------
    >>> import numpy as np
    >>> FirstToken().forward(np.zeros((5, 4, 3))).shape
    (5, 3)
    """

    parameters: dict = {}  # noqa: RUF012 - empty for every instance

    def forward(self, x, training=False):
        """Take it."""
        if training:
            self.memory = x.shape
        return x[:, 0]

    def backward(self, dy):
        """Return dL/dx: nothing for the other tokens."""
        batch, tokens, width = self.memory
        dx = np.zeros((width, batch, tokens), dy.dtype)
        dx[:, :, 0] = dy.T
        return np.moveaxis(dx, 0, -1)


class TokenMean:
    """(batch, tokens, width) to (batch, width): the mean of all tokens.

    Examples
    --------
    >>> import numpy as np
    >>> TokenMean().forward(np.arange(4.0).reshape(1, 2, 2))
    array([[1., 2.]])
    """

    parameters: dict = {}  # noqa: RUF012 - empty for every instance

    def forward(self, x, training=False):
        """Average over the tokens."""
        if training:
            self.memory = x.shape[1]
        return x.mean(axis=1)

    def backward(self, dy):
        """Return dL/dx: the same for every token."""
        shared = dy.T / dy.dtype.type(self.memory)
        return np.moveaxis(np.repeat(shared[:, :, None], self.memory, axis=2), 0, -1)


class Skip:
    """Where a bypass begins: signals go on and are kept for the `Add` that ends it (He et al., CVPR 2016).

    Examples
    --------
    >>> import numpy as np
    >>> skip = Skip()
    >>> Add(skip).forward(2 * skip.forward(np.ones(1)))
    array([3.])
    """

    parameters: dict = {}  # noqa: RUF012 - empty for every instance

    def forward(self, x, training=False):
        """Keep the signals."""
        self.kept = x
        return x

    def backward(self, dy):
        """Return dL/dx: what came through the layers between and what came by the bypass."""
        return dy + self.returned


class Add:
    """Where the bypass that begins at `skip` ends: x plus the signals kept there.

    Examples
    --------
    >>> import numpy as np
    >>> skip = Skip()
    >>> _ = skip.forward(np.ones(2)); Add(skip).forward(np.zeros(2))
    array([1., 1.])
    """

    parameters: dict = {}  # noqa: RUF012 - empty for every instance

    def __init__(self, skip):
        self.skip = skip

    def forward(self, x, training=False):
        """Add what was kept, and forget it."""
        kept, self.skip.kept = self.skip.kept, None
        return x + kept

    def backward(self, dy):
        """Return dL/dx; the same goes back by the bypass."""
        self.skip.returned = dy
        return dy
