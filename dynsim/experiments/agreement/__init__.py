"""Trained networks that packages ship, converted, and how far their answers agree with the original's."""

from ._agreement_recipe import AgreementRecipe, load
from ._agreement_task import AgreementTask
from ._packaged_networks import packaged
from ._photographs import crops, find_images

__all__ = ["AgreementRecipe", "AgreementTask", "crops", "find_images", "load", "packaged"]
