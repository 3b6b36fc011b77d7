"""The built-in kernels: a line each, as an expression in r, from which every other form of them is derived.

Value and slope for NumPy, Numba, CUDA and torch, the table in the documentation of `Kernel` and the names that its
`profile` accepts all come from here. Expressions are proportional to c, which is the unit of coupling strengths.
"""

# name: (expression, note)
PROFILES = {
    "inverse": ("c / r", "the paper's"),
    "linear": ("c * r", "l1 without softening: sorted sums"),
    "gaussian": ("c * exp(-(r / length)**2 / 2)", "smooth where two neurons meet"),
    "exponential": ("c * exp(-r / length)", "the Laplace kernel"),
    "inverse-square": ("c / r**2", "steeper than the inverse"),
}
