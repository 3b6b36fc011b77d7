"""A product without its matrix: the l1 linear kernel by sorting, beside the matrix times the vector."""

import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from dynsim.kernels import Kernel, SortedProduct, pair_matrix


def seconds(call, *arguments, repeats=20):
    call(*arguments)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - began)
    return np.median(times)


def main(folder, sizes=(250, 500, 1000, 2000, 4000)):
    generator = np.random.default_rng(0)
    sorted_times, dense_times, worst = [], [], 0.0
    for n in sizes:
        sources, targets = (generator.standard_normal((n, 3)).astype(np.float32) for _ in range(2))
        x = generator.standard_normal(n).astype(np.float32)
        product, matrix = SortedProduct(sources, targets), pair_matrix(Kernel("linear", "l1"), sources, targets)
        exact = matrix.astype(np.float64) @ x
        worst = max(worst, np.abs(product.forward(x) - exact).max() / np.abs(exact).max())
        sorted_times.append(seconds(product.forward, x))
        with threadpool_limits(1, "blas"):  # idle threads of BLAS would spin between the calls
            dense_times.append(seconds(np.matmul, matrix, x))

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(sizes, dense_times, "o-", label="matrix times vector on one thread, n² numbers stored")
    axes.loglog(sizes, sorted_times, "s-", label="sorted places, 3 n numbers stored")
    axes.set(
        xlabel="sources = targets = n", ylabel="seconds", title="y = sum |q_o - q_i| x, with and without its matrix"
    )
    axes.legend()
    figure.savefig(folder / "product.png", dpi=90)
    return worst


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
