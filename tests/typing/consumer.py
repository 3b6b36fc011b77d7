"""A program that uses the public names; mypy checks it against the installed package (see .ci/run). It is not run."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

import dynsim
from dynsim.engine import Solution
from dynsim.layers import Layer, Parameter
from dynsim.models import Model


def simulate(places: npt.NDArray[np.float64], output: Path) -> Solution:
    kernel = dynsim.Kernel("inverse", metric="l2", scale=1.0, softening=1e-3)
    operators = dynsim.Operators(A=0.1, B=[[1.0, 0.0]], F=-1.0, activation="tanh")
    system = dynsim.System(places, kernel=kernel, operators=operators, delay=0.1)
    solution = dynsim.solve(system, (0.0, 10.0), method="dopri5", rtol=1e-6, atol=1e-9, path=output)
    energy: float = float(np.sum(solution.q[-1] ** 2))
    return solution if solution.success and solution.nfev > 0 else dynsim.solve(system, (0.0, energy), path=output)


def sums(places: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
    kernel = dynsim.Kernel("gaussian", length=2.0)
    weights = dynsim.kernels.pair_matrix(kernel, places, places)
    signals: npt.NDArray[np.floating] = weights @ np.ones(len(places))
    return signals - dynsim.kernels.pair_sum(kernel, places, places, np.ones(len(places)))


class Gain(Layer):
    def __init__(self, n: int) -> None:
        self.gain = Parameter(np.ones(n), "norm")

    def forward(self, x: npt.NDArray[np.floating], training: bool = False) -> npt.NDArray[np.floating]:
        self.memory = x
        return x * self.gain.value

    def backward(self, dy: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        self.gain.add((dy * self.memory).sum(axis=0))
        return dy * self.gain.value


def learn(folder: Path) -> float:
    data = dynsim.datasets.load("digits")
    model: Model = dynsim.models.mlp(widths=(64, 32, 10), copies=4, dim=4)
    result = dynsim.train(model, data, method="forces", epochs=10, batch=64)
    model.save(folder / "model.h5")
    again = dynsim.load_model(folder / "model.h5")
    accuracy: float = dynsim.evaluate(again, data.test_images, labels=data.test_labels)["mean"]
    layer = dynsim.layers.Full(np.ones((1, 3, 2)), np.zeros((1, 2, 2)), [1.0], dynsim.Kernel())
    weights: npt.NDArray[np.floating] = layer.materialize()
    return result.test_accuracy + accuracy + float(weights[0, 0])
