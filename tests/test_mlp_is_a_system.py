"""The two wings meet: a network of layers is a system of particles, signal for signal.

A = activation, B = C = D = E = F = 0, a group a layer, strengths lambda from each layer to the next, biases as drive,
delay eps, the input clamped on the first layer: at t = L eps the last layer receives what the layers' code computes.
"""

import numpy as np
import pytest

from dynsim.engine import Operators, System, solve
from dynsim.kernels import Kernel
from dynsim.layers import Full, Parameter

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "sigmoid": lambda x: 1 / (1 + np.exp(-x))}


def network(generator, widths, copies, dim, kernel):
    places = [Parameter(generator.normal(size=(copies, n, dim)), "places") for n in widths]
    return [
        Full(
            places[k],
            places[k + 1],
            generator.normal(size=copies) / widths[k],
            kernel,
            bias=generator.normal(size=widths[k + 1]),
        )
        for k in range(len(widths) - 1)
    ]


def as_system(layers, kernel, x, activation, delay):
    """The same neurons as particles; every image of the batch is one component of the signal."""
    subsystems = [layers[0].places_in, *(layer.places_out for layer in layers)]
    widths = [places.value.shape[1] for places in subsystems]
    groups = np.repeat(np.arange(len(widths)), widths)
    strengths = np.zeros((subsystems[0].value.shape[0], len(widths), len(widths)))
    drive = np.zeros((len(groups), len(x)))
    for k, layer in enumerate(layers):
        strengths[:, k, k + 1] = layer.strengths.value
        drive[groups == k + 1] = layer.bias.value[:, None]
    return System(
        np.concatenate([places.value for places in subsystems], axis=1),
        kernel=kernel,
        operators=Operators(A=1.0, activation=activation),
        delay=delay,
        groups=groups,
        strengths=strengths,
        drive=drive,
        clamped={0: x.T},
    )


@pytest.mark.parametrize("kernel", [Kernel(), Kernel("linear", "l1"), Kernel("gaussian", softening=0.1)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("delay", "method", "dt"), [(0.1, "dopri5", None), (1.0, "rk4", 0.3), (0.0, "rk4", 0.3)])
def test_an_mlp_is_a_system_of_particles(kernel, activation, delay, method, dt):
    generator = np.random.default_rng(7)
    layers = network(generator, [7, 12, 9, 4], 3, 5, kernel)
    x = generator.normal(size=(6, 7))
    expected = x
    for k, layer in enumerate(layers):
        expected = layer.forward(expected if k == 0 else ACTIVATIONS[activation](expected))
    system = as_system(layers, kernel, x, activation, delay)
    end = len(layers) * delay or 1.0
    solution = solve(system, (0.0, end), method=method, dt=dt)
    received = solution.R[-1, -4:].T
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(solution.E[-1, -4:], ACTIVATIONS[activation](received.T), rtol=1e-15)
    if delay:  # the input was there before t = 0, so what it causes is complete at (L - 1) eps, and not before
        before = np.searchsorted(solution.t, end - 1.5 * delay) - 1
        assert np.abs(solution.R[before, -4:].T - expected).max() > 1e-3
