"""The ImageNet table: backbones of timm at full size, converted to particles, beside the published numbers."""

from ._count import count_macs, floats_of_particles
from ._data import accuracy, find_folder, image_folder
from ._recipe import ImageNetRecipe, load
from ._report import report
from ._task import ConvertTask, backbone

__all__ = [
    "ConvertTask",
    "ImageNetRecipe",
    "accuracy",
    "backbone",
    "count_macs",
    "find_folder",
    "floats_of_particles",
    "image_folder",
    "load",
    "report",
]
