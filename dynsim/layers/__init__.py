"""Layers in DyN form (subsystems of particles) and ordinary ones: signals forward, forces back."""

from ._attention import Attention, PlainAttention
from ._batchnorm import BatchNorm
from ._conv import CONV_SETS, SETS, Conv, PlainConv
from ._depthwise import Depthwise, PlainDepthwise
from ._full import Full, PlainFull
from ._inference import (
    INFERENCE,
    Rates,
    cache_file,
    calibrate,
    choose,
    costs,
    is_sortable,
    machine_rates,
    median_seconds,
)
from ._layer import Layer, Parameter
from ._layernorm import LayerNorm
from ._lowrank import LowRankConv, LowRankFull
from ._prepared import Prepared
from ._simple import ChannelMean, Flatten, MaxPool, ReLU, softmax_cross_entropy
from ._start import places_on_sphere, random_places, start_strengths
from ._tokens import Add, ClassToken, FirstToken, Patches, Positions, Skip, TokenMean

__all__ = [
    "CONV_SETS", "INFERENCE", "SETS", "Add", "Attention", "BatchNorm", "ChannelMean", "ClassToken", "Conv", "Depthwise",
    "FirstToken", "Flatten", "Full", "Layer", "LayerNorm", "LowRankConv", "LowRankFull", "MaxPool", "Parameter",
    "Patches", "PlainAttention", "PlainConv", "PlainDepthwise", "PlainFull", "Positions", "Prepared", "Rates",
    "ReLU", "Skip", "TokenMean", "cache_file", "calibrate", "choose", "costs", "is_sortable", "machine_rates",
    "median_seconds", "places_on_sphere", "random_places", "softmax_cross_entropy", "start_strengths",
]  # fmt: skip
