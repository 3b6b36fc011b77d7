"""Layers in DyN form (subsystems of particles) and plain ones: forward, and force by the way back."""

from ._attention import Attention, PlainAttention
from ._conv import SETS, Conv, PlainConv
from ._full import Full, PlainFull
from ._layernorm import LayerNorm
from ._lowrank import LowRankConv, LowRankFull
from ._norm import BatchNorm
from ._parameter import Parameter
from ._plan import INFERENCE, Rates, able, cache_file, calibrate, choose, costs, measured, median_seconds
from ._simple import Flatten, MaxPool, ReLU, softmax_cross_entropy
from ._start import places_on_sphere, random_places, start_strengths
from ._tokens import Add, ClassToken, FirstToken, Patches, Positions, Skip, TokenMean

__all__ = [
    "INFERENCE",
    "SETS",
    "Add",
    "Attention",
    "BatchNorm",
    "ClassToken",
    "Conv",
    "FirstToken",
    "Flatten",
    "Full",
    "LayerNorm",
    "LowRankConv",
    "LowRankFull",
    "MaxPool",
    "Parameter",
    "Patches",
    "PlainAttention",
    "PlainConv",
    "PlainFull",
    "Positions",
    "Rates",
    "ReLU",
    "Skip",
    "TokenMean",
    "able",
    "cache_file",
    "calibrate",
    "choose",
    "costs",
    "measured",
    "median_seconds",
    "places_on_sphere",
    "random_places",
    "softmax_cross_entropy",
    "start_strengths",
]
