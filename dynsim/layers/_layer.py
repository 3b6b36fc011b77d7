"""The base class of layers, and the parameters that learning changes in them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_choice, as_count, as_instance
from dynsim.kernels import Kernel

from ._inference import INFERENCE, choose
from ._prepared import Prepared

KINDS = ("places", "strengths", "weights", "bias", "norm")
FAST_MATH = {"contract", "nsz"}  # what the layers' compiled loops may do to sums and products: their order is kept


class Parameter:
    """An array that learning changes, its gradient dL/dvalue, and its kind.

    Neighbouring layers share places by holding the same `Parameter`; its gradient is the sum over both.

    Parameters
    ----------
    value : array_like
        Copied; integers become float64.
    kind : {"places", "strengths", "weights", "bias", "norm"}

    Examples
    --------
    >>> import numpy as np
    >>> p = Parameter(np.zeros((2, 5, 3)), "places")
    >>> p.add(np.ones((2, 5, 3))); float(p.gradient.sum())
    30.0
    """

    def __init__(self, value: npt.ArrayLike, kind: str):
        as_choice(kind, KINDS, "kind")
        self.value = np.array(as_array(value, kind))
        self.kind = kind
        self.gradient = np.zeros_like(self.value)
        self.mask = None

    @property
    def stored(self) -> int:
        """How many numbers are stored: all, or those that a mask leaves."""
        return self.value.size if self.mask is None else int(np.count_nonzero(self.mask))

    def prune(self, mask: npt.ArrayLike):
        """Set what the boolean array `mask` does not cover to 0 and keep it there."""
        self.mask = np.asarray(mask, self.value.dtype)
        self.value *= self.mask

    def add(self, gradient: npt.NDArray):
        """Add to the gradient; every layer that shares the parameter adds its part."""
        self.gradient += gradient if self.mask is None else gradient * self.mask

    def reset(self):
        """Set the gradient to zero before the next batch."""
        self.gradient[...] = 0


ParameterLike = npt.ArrayLike | Parameter  # what constructors of layers take


class Layer:
    """A step of a network: signals in and signals out, and the gradient of the loss back.

    A new layer is a subclass in one file. It must provide

    - `forward(x, training=False)`, which returns the layer's signals and, in training, keeps what `backward` needs;
    - `backward(dy)`, which takes dL/dy, adds to the parameters' gradients and returns dL/dx.

    Everything else has a default. Attributes that hold a `Parameter` are its `parameters`, under their names in the
    order in which they were set; they are trained, saved and loaded. It may also provide

    - `buffers`, arrays that are saved but not trained;
    - `to_onnx(graph, x)`, which adds its operators to an ONNX graph and returns the name of its output;
    - with `weighted = True`, the methods `materialize` and `add_weight_gradient`, and `columns`;
    - with `placed = True`, `kernel`, `product` and `sizes`, for weights that follow from places.

    Linear layers and convolutions inherit most of this: `Full` and `Conv` say how weights follow from places, and
    what a gradient on the weights means for the places.

    Attributes
    ----------
    weighted : bool
        Whether it has weights.
    placed : bool
        Whether these follow from places; `forward` then takes `inference`, too.
    by_weights : bool
        Whether the weights that follow from places are made whatever `inference` says, because they are few.
    convolves : bool
        Whether it applies its weights at every position of an image.
    averaged : bool
        Whether it normalises by running averages `mean` and `variance` with `epsilon`, then multiplies by `scale`.
    relu : bool
        Whether it cuts its outputs at 0.
    bias : Parameter or None
        Added to every output of a layer with weights.
    word : str or None
        What a model calls it, with a number: "fc" for fc1, fc2; None for the name of its class.

    Examples
    --------
    >>> import numpy as np
    >>> class Gain(Layer):
    ...     '''A factor for every signal.'''
    ...     def __init__(self, n):
    ...         self.gain = Parameter(np.ones(n), "norm")
    ...     def forward(self, x, training=False):
    ...         self.memory = x if training else None
    ...         return x * self.gain.value
    ...     def backward(self, dy):
    ...         self.gain.add((dy * self.memory).sum(axis=0))
    ...         return dy * self.gain.value
    ...     def to_onnx(self, graph, x):
    ...         return graph.add("Mul", x, graph.constant(self.gain.value))
    >>> layer = Gain(3)
    >>> layer.forward(np.ones((5, 3)), training=True).shape, layer.backward(np.ones((5, 3))).shape
    ((5, 3), (5, 3))
    >>> list(layer.parameters), layer.parameters["gain"].gradient
    (['gain'], array([5., 5., 5.]))
    """

    weighted = placed = by_weights = convolves = averaged = relu = False
    bias: Parameter | None = None
    word: str | None = None

    def __getstate__(self):
        state = dict(vars(self))
        if not isinstance(state.get("memory"), Parameter):  # a copy is not in the middle of a training step
            state.pop("memory", None)
        return state

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Everything that learning changes, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    @property
    def buffers(self) -> dict[str, npt.NDArray]:
        """Arrays that are stored beside the parameters but not learned, by name."""
        return {}

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Return the layer's signals for the signals x; with `training`, keep what `backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward.")

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Take dL/dy, add the parameters' gradients and return dL/dx."""
        raise NotImplementedError(f"{type(self).__name__} has no backward.")

    def add_gradients(self, dy: npt.NDArray):
        """Take dL/dy and add the parameters' gradients: `backward` for a first layer, where dL/dx is not needed."""
        self.backward(dy)

    def materialize(self) -> npt.NDArray:
        """Return the weights, of a layer that has some."""
        raise TypeError(f"{type(self).__name__} has no weights.")

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dweights into gradients of the parameters that the weights follow from."""
        raise TypeError(f"{type(self).__name__} has no weights.")

    def columns(self, shape: tuple[int, ...]) -> int:
        """How many vectors are multiplied by the weights for signals of this shape."""
        raise TypeError(f"{type(self).__name__} has no weights.")

    def other_operations(self, shape: tuple[int, ...]) -> int:
        """Multiply-accumulates beside those with the weights, for signals of this shape."""
        return 0

    def prepare(self, inference: str = "auto", *, columns: int = 1) -> Prepared:
        """Return the layer as it is now, for many calls: `prepared(x)` answers as `forward(x)`.

        What can be kept between calls is made once: the weights, or the order of the places. Places that are moved
        afterwards do not change it.

        Parameters
        ----------
        inference : {"auto", "dense", "tiled", "weight-free"}
            How a layer of particles computes its product; auto takes what the planner expects to be the fastest for
            calls with `columns` vectors each, once all is made. Other layers have one way.
        columns : int
            How many vectors a call multiplies by the weights: images, times tokens, times places of a window.

        Raises
        ------
        ValueError
            If `inference` is unknown, or weight-free is asked of a kernel that cannot.

        Examples
        --------
        >>> import numpy as np
        >>> from dynsim.layers import PlainFull
        >>> PlainFull(np.eye(2)).prepare()(np.ones((1, 2)))
        array([[1., 1.]])
        """
        as_choice(inference, INFERENCE, "inference")
        as_count(columns, "columns", minimum=0)
        return deepcopy(self).keep(inference, columns)

    def keep(self, inference: str, columns: int) -> Prepared:
        """Make the prepared layer of this one, which must not be used otherwise from now on."""
        if not self.placed:
            return Prepared(self, self.forward)
        way = choose(inference, self.kernel, **self.sizes(columns), kept=True)
        return Prepared(self, partial(self.forward, inference=way), way)

    def product(self, inference: str = "dense") -> Callable:
        """Return the product with the weights in one of the ways, as a function of (signals, bias), batch last."""
        raise TypeError(f"{type(self).__name__} has no weights.")

    def sizes(self, columns: int) -> dict[str, int]:
        """What `choose` and `costs` ask of a layer with places, for so many vectors."""
        raise TypeError(f"{type(self).__name__} has no places.")

    def to_onnx(self, graph, x: str) -> str:
        """Add the layer's operators to an ONNX graph, from the value named x; returns the name of the output.

        `graph.add(operator, *inputs, outputs=1, **attributes)` adds a node and returns the name of its output,
        `graph.constant(value, dtype=float32)` a constant; `graph.reshape(x, *shape)` adds a Reshape, where 0 keeps an
        axis. `graph.image` is (channels, height, width) of the network's images, and `graph.kept` a dict for names that
        a later layer needs.
        """
        raise TypeError(f"export: {type(self).__name__} cannot be written as ONNX; give it a method to_onnx.")


def as_parameter(value, kind, name, shape):
    """Return `value` if it is a Parameter already (shared), else a new one; refuse another shape than `shape`."""
    parameter = value if isinstance(value, Parameter) else Parameter(as_array(value, name, shape), kind)
    as_array(parameter.value, name, shape)
    return parameter


def as_bias(value, count):
    """Return `value` as a Parameter of this many numbers, or None."""
    return None if value is None else as_parameter(value, "bias", "bias", (count,))


def as_kernel(value):
    """Return `value` as a Kernel; None is the default one."""
    return Kernel() if value is None else as_instance(value, Kernel, "kernel")
