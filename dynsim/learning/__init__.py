"""Learning: forces on neurons, their equations of motion, and what noise does to the result."""

from ._evaluate import NOISES, accuracy, evaluate
from ._motion import MOTIONS, RATES, Adam, Inertial, Overdamped, one_cycle
from ._train import TrainingResult, train

__all__ = [
    "MOTIONS",
    "NOISES",
    "RATES",
    "Adam",
    "Inertial",
    "Overdamped",
    "TrainingResult",
    "accuracy",
    "evaluate",
    "one_cycle",
    "train",
]
