"""Ground floor: phi and everything pairwise. Arrays in, arrays out; imports nothing else of the project."""

from ._check import as_array, as_count, as_number, expect_keys
from ._direct import pair_force, pair_matrix, pair_sum
from ._kernel import METRICS, PROFILES, Kernel
from ._normal import relation_normal, relation_tangent
from ._relation import relation, relation_forces
from ._sorted import SortedProduct
from ._threads import launch

__all__ = [
    "METRICS",
    "PROFILES",
    "Kernel",
    "SortedProduct",
    "as_array",
    "as_count",
    "as_number",
    "expect_keys",
    "launch",
    "pair_force",
    "pair_matrix",
    "pair_sum",
    "relation",
    "relation_forces",
    "relation_normal",
    "relation_tangent",
]
