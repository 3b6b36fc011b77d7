"""How many threads BLAS may use beside the kernels' own."""

from __future__ import annotations

from contextlib import nullcontext

SMALL = 2**25  # multiply-accumulates of one product, about a millisecond


def blas_threads(model, batch):
    """A context in which BLAS has one thread if all products of the model are small.

    Its idle threads spin and take the cores from the kernels' loops in between; a second thread gains less than that on
    small products. With one thread a training also has the same bits on any number of cores.
    """
    largest = max((layer.materialize().size for layer in model.layers if hasattr(layer, "materialize")), default=0)
    if largest * batch > SMALL:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
