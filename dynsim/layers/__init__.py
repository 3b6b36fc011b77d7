"""Layers in DyN form (subsystems of particles) and plain ones: forward, and force by the way back."""

from ._conv import SETS, Conv, PlainConv
from ._full import Full, PlainFull
from ._lowrank import LowRankConv, LowRankFull
from ._norm import BatchNorm
from ._parameter import Parameter
from ._plan import INFERENCE, Rates, calibrate, choose, costs, measured
from ._simple import Flatten, MaxPool, ReLU, softmax_cross_entropy
from ._start import places_on_sphere, random_places, start_strengths

__all__ = [
    "INFERENCE",
    "SETS",
    "BatchNorm",
    "Conv",
    "Flatten",
    "Full",
    "LowRankConv",
    "LowRankFull",
    "MaxPool",
    "Parameter",
    "PlainConv",
    "PlainFull",
    "Rates",
    "ReLU",
    "calibrate",
    "choose",
    "costs",
    "measured",
    "places_on_sphere",
    "random_places",
    "softmax_cross_entropy",
    "start_strengths",
]
