"""CIFAR-10: a trained ResNet-20 converted, fine-tuned, perturbed, beside SVD and rounded weights; needs PyTorch."""

from ._cifar_recipe import ConversionRecipe, load

__all__ = ["ConversionRecipe", "load"]
