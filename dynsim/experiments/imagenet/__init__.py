"""The ImageNet table: backbones of timm at full size, converted to particles, beside the published numbers."""

from ._imagenet_measures import accuracy, find_folder, floats_of_particles, image_folder, macs_of_conversion
from ._imagenet_recipe import ImageNetRecipe, load
from ._imagenet_report import report
from ._imagenet_task import ConvertTask, backbone

__all__ = [
    "ConvertTask", "ImageNetRecipe", "accuracy", "backbone", "find_folder", "floats_of_particles", "image_folder",
    "load", "macs_of_conversion", "report",
]  # fmt: skip
