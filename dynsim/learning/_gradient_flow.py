"""Learning as a simulation: the System whose motion is the gradient flow of a model's places, and the way back."""

from __future__ import annotations

import itertools
from copy import deepcopy

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_choice, as_instance, describe, refusal
from dynsim.engine import LOSSES, Operators, Solution, System, Teacher
from dynsim.layers import Flatten, Full, ReLU
from dynsim.models import Model

OF_DATA = ("data", "image", "class_names", "background")  # results that are still true when places have moved


def flow_system(
    model: Model,
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    rate: float = 1.0,
    loss: str = "cross-entropy",
    mass: npt.ArrayLike = 0.0,
    friction: npt.ArrayLike = 1.0,
    temperature: float | tuple = 0.0,
    delay: float = 0.0,
) -> System:
    """Return the system of particles that a model is, clamped to images and pushed by the loss on its scores.

    A group is a layer of neurons, the first one clamped to the images, each of which is one component of the signals.
    At delay 0 its places move along q' = -rate / friction dL/dq, the gradient flow of the mean loss over all images;
    steps of Euler's method of length h are those of gradient descent with the rate h * rate / friction. Strengths and
    biases stay as they are. Everything is computed in float64, also for a model of float32 numbers, which these are
    exactly; the scores of such a model differ from the signals that the system emits by the rounding of float32.

    The gradient jumps where a hidden neuron receives 0. A flow that is pushed there from both sides stays there, and
    adaptive methods with tight tolerances take ever shorter steps: choose rtol of about 1e-3, or give `max_steps`.

    Parameters
    ----------
    model : Model
        Layers `Full`, `ReLU` and `Flatten`, of one kernel, whose neighbours share the places of the neurons between
        them: `dynsim.models.mlp(..., norm=False)`.
    images : array_like, (s, channels, height, width) or (s, inputs)
    labels : array_like, (s,) or (s, classes)
        Whole numbers from 0, or the signals that are wanted: probabilities for the cross-entropy.
    rate, loss
        Of the `Teacher`: mu, and "cross-entropy" of softmax(scores), or "squared error", the mean of
        |scores - wanted|^2 / 2.
    mass, friction, temperature, delay
        Of the `System`. With a delay the error signals travel back with the same delay: the force is then not the
        gradient, and the scores of an image are complete after one delay for each layer.

    Raises
    ------
    ValueError, TypeError
        If the model has other layers or its places are not shared, or images and labels do not fit.

    Examples
    --------
    >>> import dynsim
    >>> from dynsim.models import mlp
    >>> model = mlp((2, 4, 2), copies=2, dim=2, kernel=dynsim.Kernel("gaussian"), norm=False)
    >>> system = flow_system(model, [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 1])
    >>> solution = dynsim.solve(system, (0.0, 1.0), method="rkc2", rtol=1e-3)
    >>> losses = system.teacher.value(solution.E[:, -2:])
    >>> bool(losses[-1] < losses[0])
    True
    >>> flow_model(model, solution).predict(np.zeros((1, 1, 1, 2))).shape
    (1,)
    """
    chain = _chain(model)
    subsystems = [chain[0].places_in, *(layer.places_out for layer in chain)]
    widths = [places.value.shape[1] for places in subsystems]
    x = _signals(images, widths[0])
    wanted = _wanted(labels, len(x), widths[-1], as_choice(loss, LOSSES, "loss"))
    groups, G = np.repeat(np.arange(len(widths)), widths), len(widths)
    strengths, drive = np.zeros((len(subsystems[0].value), G, G)), np.zeros((len(groups), len(x)))
    for k, layer in enumerate(chain):
        strengths[:, k, k + 1] = layer.strengths.value
        if layer.bias is not None:
            drive[groups == k + 1] = layer.bias.value[:, None]
    return System(
        _places(subsystems),
        kernel=chain[0].kernel,
        operators=Operators(A=1.0, activation=_activations(model)),
        delay=delay,
        groups=groups,
        strengths=strengths,
        drive=drive,
        clamped={0: x.T},
        mass=mass,
        friction=friction,
        temperature=temperature,
        teacher=Teacher(G - 1, wanted, loss=loss, rate=rate),
    )


def flow_model(model: Model, end: Solution | npt.ArrayLike) -> Model:
    """Return a model like the given one, with the places at the end of a run of its `flow_system`.

    Numbers keep the model's precision: of a float64 model, the scores are the signals that the system emits at these
    places, at delay 0, to rounding; float32 rounds the places, too. What `results` say of accuracy is left out.

    Parameters
    ----------
    model : Model
        The one that the system was made of; it is not changed.
    end : Solution or array_like, (H, N, d)
        A run, of which the last frame counts, or places.

    Raises
    ------
    ValueError, TypeError
        If the model has no such system, or the places are of another shape.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> model = mlp((3, 4, 2), copies=2, dim=2, norm=False)
    >>> moved = flow_model(model, np.ones((2, 9, 2)))
    >>> moved.layers[1].materialize().shape, float(moved.layers[3].places_out.value.max())
    ((4, 3), 1.0)
    """
    _chain(model)
    made = deepcopy(model)
    chain = _chain(made)
    subsystems = [chain[0].places_in, *(layer.places_out for layer in chain)]
    shape = _places(subsystems).shape
    q = as_array(end.q[-1] if isinstance(end, Solution) else end, "end", shape, np.float64)
    start = 0
    for places in subsystems:
        stop = start + places.value.shape[1]
        places.value[...] = q[:, start:stop]
        places.reset()
        start = stop
    made.results = {name: value for name, value in made.results.items() if name in OF_DATA}
    return made


def _places(subsystems):
    """(H, N, d) of all neurons, layer by layer."""
    return np.concatenate([places.value for places in subsystems], axis=1, dtype=np.float64)


def _chain(model):
    """The full layers of a model that is a system of particles; what is not one is refused by name."""
    as_instance(model, Model, "model")
    if model.preprocess is not None:
        do = "preprocess the images and take a model of the layers alone"
        raise refusal("model", f"one that changes images first ({describe(model.preprocess)})", "layers alone", do)
    chain = []
    for name, layer in zip(model.layer_names, model.layers, strict=True):
        if isinstance(layer, Full):
            chain.append((name, layer))
        elif not isinstance(layer, Flatten | ReLU):
            raise refusal("model", f"{name}, {_of(layer)}", "layers Full, ReLU and Flatten", _remedy(layer))
        elif isinstance(layer, ReLU) and not chain:
            raise refusal("model", f"{name}, a ReLU of the images", "a full layer before it", "cut the images first")
    if not chain:
        raise refusal("model", "one without a full layer", "one layer Full or more")
    for (before, first), (after, second) in itertools.pairwise(chain):
        if second.places_in is not first.places_out:
            do = f"make {after} with {before}'s places_out as its places_in, the same Parameter"
            raise refusal("model", f"places of {before} and {after} that are not shared", "one place for a neuron", do)
        if second.kernel != first.kernel:
            raise refusal("model", f"{after} with {second.kernel}", f"one kernel for all layers, {first.kernel}")
    layers = [layer for _, layer in chain]
    subsystems = [layers[0].places_in, *(layer.places_out for layer in layers)]
    if len({id(places) for places in subsystems}) < len(subsystems):
        raise refusal("model", "two layers of neurons with the same places", "places of their own for each")
    if any(places.mask is not None for places in subsystems):
        raise refusal("model", "places of which some are pruned", "places that can all move")
    return layers


def _of(layer):
    return "with ordinary weights" if layer.weighted and not layer.placed else f"a {type(layer).__name__}"


def _remedy(layer):
    if layer.averaged:
        return "take mlp(..., norm=False): what a norm does to one image depends on the others"
    return "take mlp(..., weights=False, norm=False)" if layer.weighted else "take mlp(..., norm=False)"


def _activations(model):
    """Those of the groups: what follows each full layer."""
    kinds = ["identity"]
    for layer in model.layers:
        if isinstance(layer, Full):
            kinds.append("identity")
        elif isinstance(layer, ReLU):
            kinds[-1] = "relu"
    return kinds


def _signals(images, inputs):
    """Images as (s, inputs)."""
    images = as_array(images, "images", dtype=np.float64)
    if images.ndim < 2 or not len(images) or images.size != len(images) * inputs:
        expected = f"(s, {inputs}) or (s, channels, height, width) of {inputs} pixels, one image or more"
        raise refusal("images", f"shape {images.shape}", expected)
    return images.reshape(len(images), inputs)


def _wanted(labels, count, classes, loss):
    """Targets of the teacher."""
    labels = as_array(labels, "labels", dtype=np.float64)
    if labels.ndim == 2:
        return as_array(labels, "labels", (count, classes)).T
    as_array(labels, "labels", (count,))
    wrong = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= classes)]
    if len(wrong):
        raise refusal("labels", f"{wrong[0]:g}", f"whole numbers from 0 to {classes - 1}")
    return labels if loss == "cross-entropy" else np.eye(classes)[labels.astype(int)].T
