"""Learning: forces on neurons, their equations of motion, fits to given weights, and robustness to noise."""

from ._accuracy import NOISES, accuracy, evaluate
from ._augment import Augment
from ._distillation import Distillation
from ._fit import fit
from ._fit_weights import FittedWeights, fit_start, fit_weights, singular_factors
from ._gauss_newton import gauss_newton
from ._gradient_flow import flow_model, flow_system
from ._grids import MOST_BITS, Grid, find_grid, stored_bits
from ._measured_targets import ridge_target
from ._motion import MOTIONS, RATES, Adam, Inertial, Overdamped, one_cycle
from ._preset_of_digits import PRESETS, preset_config
from ._quantise import Quantiser
from ._targets import Target, Targets, apply_inverse, low_rank, relations_problem
from ._training import METHODS, TrainingResult, train
from ._training_cost import estimate

__all__ = [
    "METHODS", "MOST_BITS", "MOTIONS", "NOISES", "PRESETS", "RATES", "Adam", "Augment", "Distillation", "FittedWeights",
    "Grid", "Inertial", "Overdamped", "Quantiser", "Target", "Targets", "TrainingResult", "accuracy", "apply_inverse",
    "estimate", "evaluate", "find_grid", "fit", "fit_start", "fit_weights", "flow_model", "flow_system",
    "gauss_newton", "low_rank", "one_cycle", "preset_config", "relations_problem", "ridge_target",
    "singular_factors", "stored_bits", "train",
]  # fmt: skip
