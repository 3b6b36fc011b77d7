"""The coupling phi of two neurons and everything pairwise: arrays in, arrays out."""

from ._compilation import TEMPORARY_CACHE, is_compiled, launch, on_its_own  # first: no function can be declared before

# isort: split
from ._backend import BACKENDS, find_backend
from ._block import constants, fill_row, row_specialisation, rows_by_arrays
from ._distance_entropy import distance_entropy
from ._exponential_sums import ExponentialProduct, InverseProduct
from ._formula import array_functions
from ._in_python import in_python
from ._kernel import METRICS, Kernel
from ._lanes import lane_dot, lane_sum
from ._pair_sums import SIDE_BY_SIDE, pair_force, pair_matrix, pair_sum, summing_backend
from ._profiles import PROFILES
from ._relation import relation, relation_forces, relation_normal, relation_tangent
from ._retarded_sums import SEEN, TOO_FAR_BACK, WITHIN_STEP, retarded_sums
from ._shared_relation import shared_relation, shared_relation_forces
from ._sorted_sums import SortedProduct
from ._tree_sums import TreeProduct, TreeReport, expect_accuracy, has_tree
from ._weight_free import SlicedProduct, weight_free
from ._written_text import run_text

__all__ = [
    "BACKENDS", "METRICS", "PROFILES", "SEEN", "SIDE_BY_SIDE", "TEMPORARY_CACHE", "TOO_FAR_BACK", "WITHIN_STEP",
    "ExponentialProduct", "InverseProduct", "Kernel", "SlicedProduct", "SortedProduct", "TreeProduct", "TreeReport",
    "array_functions", "constants", "distance_entropy", "expect_accuracy", "fill_row", "find_backend", "has_tree",
    "in_python", "is_compiled", "lane_dot", "lane_sum", "launch", "on_its_own", "pair_force", "pair_matrix", "pair_sum",
    "relation", "relation_forces", "relation_normal", "relation_tangent", "retarded_sums", "row_specialisation",
    "rows_by_arrays", "run_text", "shared_relation", "shared_relation_forces", "summing_backend", "weight_free",
]  # fmt: skip
