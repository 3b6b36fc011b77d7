"""Which weights of a module can follow from particles, and why the others cannot.

A weight is a parameter of two axes or more, whatever class of layer owns it under whatever name. One that several
layers own, or one layer under several names, is one weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import fx, nn
from torch.nn.modules import conv as convolutions
from torch.nn.utils import parametrize

from dynsim._check import refusal

from ._eight_bits import EightBits
from ._parametrisation import derive, derived_weight, share
from ._particles import Particles
from ._weight_layout import WeightLayout

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
EMBEDDING = ("max_norm", "sparse", "scale_grad_by_freq")  # options that write to the table or to its gradient
KINDS = (
    (nn.Linear, "linear"),
    (convolutions._ConvTransposeNd, "transposed"),
    (convolutions._ConvNd, "conv"),
    ((nn.Embedding, nn.EmbeddingBag), "embedding"),
    (nn.MultiheadAttention, "attention"),
    ((nn.RNNBase, nn.RNNCellBase), "recurrent"),
    (nn.Bilinear, "bilinear"),
)


@dataclass
class LayerEntry:
    """A weight and where it is, or a module without one; `reason` says why it stays, and is empty otherwise.

    `owners` are (module, name of the parameter), and `names` those that the report and patterns use: of the module
    where the parameter is called "weight", and of the parameter otherwise. `others` counts the parameters of the first
    owner that are no weights, not counting those that an earlier module also owns. With `shares_bias` another module
    has the same bias.
    """

    name: str
    kind: str
    owners: list[tuple[nn.Module, str]]
    reason: str = ""
    names: list[str] = field(default_factory=list)
    others: int = 0
    shares_bias: bool = False

    @property
    def module(self) -> nn.Module:
        """The first of its owners."""
        return self.owners[0][0]

    @property
    def parameter(self) -> torch.Tensor | None:
        """The weight as it is now: what was given, or what particles make. None of a module that has none."""
        module, name = self.owners[0]
        return getattr(module, name) if name else None

    @property
    def layout(self) -> WeightLayout:
        """Its axes as sets of neurons."""
        derived, shape = derived_weight(*self.owners[0]), tuple(self.parameter.shape)
        if derived is not None:
            return derived.layout
        swapped = self.kind == "transposed" or type(self.module).__name__ == "Conv1D"  # of transformers: (in, out)
        return WeightLayout(shape, *((1, 0) if swapped else (0, 1)))

    @property
    def weights(self) -> np.ndarray:
        """The target of the fit (T, S, n, m), in float32 or float64."""
        return self.layout.array(self.parameter)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, S, n, m) of the weights."""
        return self.layout.sets

    @property
    def size(self) -> int:
        """Number of weights; 0 of a module that has none."""
        return 0 if self.parameter is None else self.parameter.numel()

    @property
    def bias(self) -> nn.Parameter | None:
        """What is added to what the weight gives, or None."""
        bias = _bias(*self.owners[0])
        outputs = self.layout.shape[self.layout.outputs] if self.size else 0
        return bias if bias is not None and tuple(bias.shape) == (outputs,) else None

    @property
    def padding(self) -> int | None:
        """Row of an embedding that keeps its numbers."""
        found = {getattr(module, "padding_idx", None) for module, _ in self.owners} - {None}
        return found.pop() if len(found) == 1 else None

    def convert(self, fitted, kernel, sets) -> Particles:
        """Let the weight follow from what was fitted to it, in all its owners."""
        weight, padding = self.parameter, self.padding
        row = weight[padding].detach() if padding is not None and bool(weight[padding].any()) else None
        made = Particles.fitted(self.layout, fitted, kernel, weight, sets=sets, padding=padding, row=row)
        return self._shared(made)

    def round_to_eight_bits(self) -> EightBits:
        """Keep the weight in 8 bits, in all its owners."""
        return self._shared(EightBits.rounded(self.layout, self.parameter))

    def _shared(self, made):
        (module, name), *rest = self.owners
        derive(module, name, made)
        for other, parameter in rest:
            share(other, parameter, module, name)
        return made


def list_layers(
    module: nn.Module, *, include: Iterable[str] | str | None = None, exclude: Iterable[str] | str | None = None
) -> list[LayerEntry]:
    """Every weight, and every module that owns other parameters only, in the order of the module.

    Raises
    ------
    ValueError
        If a pattern of include or exclude matches nothing: a mistyped name would change the result silently.

    Examples
    --------
    >>> [(entry.name, entry.kind, entry.reason) for entry in list_layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))]
    [('0', 'linear', '')]
    """
    include, exclude = _patterns(include), _patterns(exclude)
    entries = _entries(module)
    for patterns, what in ((include, "include"), (exclude, "exclude")):
        _expect_matches(entries, patterns, what)
    for entry in entries:
        entry.reason = entry.reason or _reason(entry) or _left_out(entry, include, exclude)
    return entries


OPERATIONS = {
    "linear": "linear", "addmm": "linear", "mm": "linear", "matmul": "linear", "einsum": "linear",
    "embedding": "embedding", "conv1d": "conv", "conv2d": "conv", "conv3d": "conv", "convolution": "conv",
    "conv_transpose1d": "transposed", "conv_transpose2d": "transposed", "conv_transpose3d": "transposed",
    "bilinear": "bilinear", "lstm": "recurrent", "gru": "recurrent", "rnn_tanh": "recurrent", "rnn_relu": "recurrent",
    "lstm_cell": "recurrent", "gru_cell": "recurrent", "rnn_tanh_cell": "recurrent", "rnn_relu_cell": "recurrent",
}  # fmt: skip
VIEWS = ("t", "permute", "transpose", "chunk", "split", "getitem", "select", "slice", "to", "contiguous", "unbind")


def _multiplied(module):
    """{parameter of a program: kind of layer}, of what its operations multiply signals with; None of other modules."""
    if not isinstance(module, fx.GraphModule):
        return None
    found = {}
    for node in module.graph.find_nodes(op="get_attr"):
        todo = [(node, user) for user in node.users]
        while todo:
            given, user = todo.pop()
            name = getattr(user.target, "__name__", str(user.target)).split(".")[0]
            if name in OPERATIONS and given in _factors(user, name):
                found.setdefault(str(node.target), OPERATIONS[name])
            elif name in VIEWS:
                todo += [(user, next_user) for next_user in user.users]
    return found


def _factors(node, name):
    """The arguments of an operation that may be weights: no initial states of recurrent layers, no summands."""
    if OPERATIONS[name] == "recurrent":
        return node.args[2] if isinstance(node.args[2], (tuple, list)) else node.args[2:4]
    return node.all_input_nodes if name != "addmm" else [given for given in node.args[1:] if isinstance(given, fx.Node)]


def _entries(module):
    parts, known, entries, multiplied, counted = {}, {}, [], _multiplied(module), set()
    for name, part in module.named_modules(remove_duplicate=False):
        if "parametrizations" not in name.split("."):
            parts.setdefault(id(part), (part, []))[1].append(name)
    for part, names in parts.values():
        own = {key: value for key, value in part._parameters.items() if value is not None}
        made = list(part.parametrizations) if parametrize.is_parametrized(part) else []
        kinds = {key: _kind(part) for key in own}
        if multiplied is not None:
            kinds = {key: multiplied.get(f"{names[0]}.{key}".lstrip("."), type(part).__name__) for key in own}
        weights = [key for key, value in own.items() if _is_weight(part, names[0], key, value, multiplied)]
        others = [value for key, value in own.items() if key not in weights]
        rest, listed = sum(value.numel() for value in others if id(value) not in counted), False
        counted.update(map(id, others))
        for key in [*made, *weights]:
            value = part.parametrizations[key] if key in made else own[key]
            labels = [label(name, key) for name in names]
            if id(value) in known:
                known[id(value)].owners.append((part, key))
                known[id(value)].names += labels
                continue
            entry = LayerEntry(labels[0], kinds.get(key, _kind(part)), [(part, key)], _made(part, key, made), labels)
            if not listed:
                entry.others, listed = rest, True
            known[id(value)] = entry
            entries.append(entry)
        if others and not listed:
            shared = f"shares its weight with {known[id(own[weights[0]])].name}" if weights else ""
            entries.append(LayerEntry(names[0], _kind(part), [(part, "")], shared, names, rest))
    times = Counter(id(value) for part, _ in parts.values() for value in part._parameters.values() if value is not None)
    for entry in entries:
        entry.shares_bias = times[id(_bias(*entry.owners[0]))] > 1
    return entries


def _bias(module, name):
    return module._parameters.get(name.replace("weight", "bias")) if name else None


def _is_weight(part, place, name, value, multiplied):
    """Tables of positions and the like, which no layer multiplies with, stay as they are."""
    if value.dim() < 2:
        return False
    if multiplied is not None:
        return f"{place}.{name}".lstrip(".") in multiplied
    return "weight" in name and "Norm" not in type(part).__name__


def named_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """{name: weight} of all parameters of two axes or more, by the names of `list_layers`."""
    return {label(*name.rpartition(".")[::2]): p for name, p in module.named_parameters() if p.dim() > 1}


def label(place: str, parameter: str) -> str:
    """The name of a weight: its module's where the parameter is called so.

    Examples
    --------
    >>> label("encoder.fc", "weight"), label("encoder.attention", "in_proj_weight"), label("", "weight_hh_l0")
    ('encoder.fc', 'encoder.attention.in_proj_weight', 'weight_hh_l0')
    """
    return place if parameter == "weight" else f"{place}.{parameter}".lstrip(".")


def _kind(part):
    name = type(part).__name__.removeprefix("Parametrized" if parametrize.is_parametrized(part) else "")
    return next((kind for classes, kind in KINDS if isinstance(part, classes)), name)


def _made(part, name, made):
    if name not in made:
        return ""
    if derived_weight(part, name) is not None:
        return "made of particles already"
    return "its weight follows from a parametrisation"


def _reason(entry):
    part, weight = entry.module, entry.parameter
    if weight is None:
        return "a norm, a scale or a bias: it stays ordinary"
    if type(weight) is not nn.Parameter or weight.is_quantized:
        return f"its weight is a {type(weight).__name__}, which cannot be replaced"
    if weight.dtype not in TYPES:
        return f"numbers of type {str(weight.dtype).removeprefix('torch.')}, of which particles make none"
    if weight.is_meta:
        return "its weights are not in memory (meta device)"
    if not weight.numel():
        return "it has no weights"
    if not bool(torch.isfinite(weight).all()):
        return "its weights are not finite"
    if entry.kind == "embedding" and any(getattr(part, name, None) for name in EMBEDDING):
        return "an embedding with max_norm, sparse or scale_grad_by_freq"
    return ""


def chosen(names, include, exclude):
    """Whether something of these names is among `include`, or that is None, and not among `exclude`."""
    include, exclude = _patterns(include), _patterns(exclude)
    return (include is None or _matches(names, include)) and not (exclude and _matches(names, exclude))


def _patterns(given):
    return [given] if isinstance(given, str) else given


def _left_out(entry, include, exclude):
    if exclude is not None and _matches(_every_name(entry), exclude):
        return "excluded"
    return "" if chosen(_every_name(entry), include, None) else "not among include"


def _every_name(entry):
    """Of the weight, and of the modules that own it."""
    return [*entry.names, *(name.removesuffix(f".{key}") for name in entry.names for _, key in entry.owners)]


def _matches(names, patterns):
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _expect_matches(entries, patterns, what):
    for pattern in patterns or ():
        if not any(_matches(_every_name(entry), [pattern]) for entry in entries):
            names = [entry.name for entry in entries]
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            raise refusal(what, repr(pattern), f"a pattern that matches a layer, of {shown}")
