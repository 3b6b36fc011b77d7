"""Ground floor: phi and everything pairwise. Arrays in, arrays out; imports nothing else of the project."""

from ._block import constants, fill_row, specialisation
from ._check import (
    as_array,
    as_callable,
    as_choice,
    as_count,
    as_flag,
    as_float_type,
    as_instance,
    as_like,
    as_number,
    expect_keys,
)
from ._direct import pair_force, pair_matrix, pair_sum
from ._kernel import METRICS, PROFILES, Kernel
from ._plan import BACKENDS, find_backend
from ._relation import relation, relation_forces
from ._sorted import SortedProduct
from ._threads import launch

__all__ = [
    "BACKENDS",
    "METRICS",
    "PROFILES",
    "Kernel",
    "SortedProduct",
    "as_array",
    "as_callable",
    "as_choice",
    "as_count",
    "as_flag",
    "as_float_type",
    "as_instance",
    "as_like",
    "as_number",
    "constants",
    "expect_keys",
    "fill_row",
    "find_backend",
    "launch",
    "pair_force",
    "pair_matrix",
    "pair_sum",
    "relation",
    "relation_forces",
    "specialisation",
]
