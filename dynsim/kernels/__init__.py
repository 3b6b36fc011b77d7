"""Ground floor: phi and everything pairwise. Arrays in, arrays out; imports nothing else of the project."""

from ._cache import TEMPORARY as TEMPORARY_CACHE  # first: nothing can be declared before

# isort: split
from ._block import constants, fill_row, specialisation
from ._direct import pair_force, pair_matrix, pair_sum
from ._exponential import ExponentialProduct
from ._inverse import InverseProduct
from ._kernel import METRICS, PROFILES, Kernel
from ._normal import relation_normal, relation_tangent
from ._plan import BACKENDS, find_backend
from ._relation import relation, relation_forces
from ._sliced import SlicedProduct
from ._sorted import SortedProduct
from ._threads import launch
from ._weight_free import weight_free

__all__ = [
    "BACKENDS",
    "METRICS",
    "PROFILES",
    "TEMPORARY_CACHE",
    "ExponentialProduct",
    "InverseProduct",
    "Kernel",
    "SlicedProduct",
    "SortedProduct",
    "constants",
    "fill_row",
    "find_backend",
    "launch",
    "pair_force",
    "pair_matrix",
    "pair_sum",
    "relation",
    "relation_forces",
    "relation_normal",
    "relation_tangent",
    "specialisation",
    "weight_free",
]
