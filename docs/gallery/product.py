# %% [markdown]
# # A product without its matrix
#
# With the l1 linear kernel, sum |q_o - q_i| x_i needs the order of the places along each axis, not the matrix of
# distances. The times are those of your machine.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from dynsim.kernels import Kernel, SortedProduct, pair_matrix

SIZES = (250, 500, 1000, 2000, 4000)
REPEATS = 20


# %%
def seconds(call, *arguments):
    call(*arguments)
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - began)
    return np.median(times)


generator = np.random.default_rng(0)
sorted_times, dense_times, worst = [], [], 0.0
for n in SIZES:
    sources, targets = (generator.standard_normal((n, 3)).astype(np.float32) for _ in range(2))
    x = generator.standard_normal(n).astype(np.float32)
    product, matrix = SortedProduct(sources, targets), pair_matrix(Kernel("linear", "l1"), sources, targets)
    exact = matrix.astype(np.float64) @ x
    worst = max(worst, np.abs(product.forward(x) - exact).max() / np.abs(exact).max())
    sorted_times.append(seconds(product.forward, x))
    with threadpool_limits(1, "blas"):  # idle threads of BLAS would spin between the calls
        dense_times.append(seconds(np.matmul, matrix, x))
print(f"The two results differ by {worst:.1e} at most.")

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.loglog(SIZES, dense_times, "o-", label="matrix times vector on one thread, n² numbers stored")
axes.loglog(SIZES, sorted_times, "s-", label="sorted places, 3 n numbers stored")
axes.set(xlabel="sources = targets = n", ylabel="seconds", title="y = sum |q_o - q_i| x, with and without its matrix")
axes.set_xticks(SIZES, [f"{n:,}" for n in SIZES])
axes.minorticks_off()
axes.legend()
figure.savefig("product.png", dpi=90)
