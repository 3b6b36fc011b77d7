"""Learning: forces on neurons, their equations of motion, and what noise does to the result."""

from ._augment import Augment
from ._estimate import estimate
from ._evaluate import NOISES, accuracy, evaluate
from ._fit import fit
from ._fit_start import fit_start, singular_factors
from ._fit_weights import FittedWeights, fit_weights
from ._gauss_newton import gauss_newton
from ._moments import ridge_target
from ._motion import MOTIONS, RATES, Adam, Inertial, Overdamped, one_cycle
from ._quantise import Quantiser
from ._targets import Target, Targets, apply_inverse, relations_problem
from ._train import METHODS, TrainingResult, train

__all__ = [
    "METHODS",
    "MOTIONS",
    "NOISES",
    "RATES",
    "Adam",
    "Augment",
    "FittedWeights",
    "Inertial",
    "Overdamped",
    "Quantiser",
    "Target",
    "Targets",
    "TrainingResult",
    "accuracy",
    "apply_inverse",
    "estimate",
    "evaluate",
    "fit",
    "fit_start",
    "fit_weights",
    "gauss_newton",
    "one_cycle",
    "relations_problem",
    "ridge_target",
    "singular_factors",
    "train",
]
