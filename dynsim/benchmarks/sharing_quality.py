"""Neighbouring layers with neurons in common against layers fitted alone, on as many numbers."""

from __future__ import annotations

import numpy as np

from ._contestants import isolated

# Sizes at which both come out at the same number of floats, but for lambdas.
CHAINS = {"2 of 3 x 3, 64 channels": (2, 3, 64), "2 of 192 x 192": (2, 1, 192), "5 of 192 x 192": (5, 1, 192)}
COPIES, STEPS = (4, 8), 40
LEAK = 0.05  # of its lambdas, with which a layer begins to feel the copies that the other one brought


def measure(rounds, full):
    """Mean errors |W_places - W|^2 / |W|^2 over the layers of a chain, with places of their own and in common."""
    rows = []
    for name, (layers, sets, neurons) in CHAINS.items():
        for share in (0.25, 0.5):
            arguments = {"layers": layers, "sets": sets, "neurons": neurons, "share": share}
            found = isolated(__name__, "both", **arguments)
            rows.append({"chain": name, "floats": f"{share:g} of the weights'", **found})
    return {"steps": STEPS, "rows": rows}


def both(layers, sets, neurons, share, steps=STEPS):
    """Both fits of structureless weights, of 4 and 8 copies; numbers go to dimensions, as many as the share allows."""
    from dynsim.kernels import Kernel
    from dynsim.learning import fit_weights

    kernel, generator = Kernel("gaussian", length=6.0), np.random.default_rng(0)
    weights = [generator.normal(size=(sets, sets, neurons, neurons)).astype(np.float32) for _ in range(layers)]
    budget, found = share * sum(w.size for w in weights), {}
    for copies in COPIES:
        dim = int(budget / (2 * layers * sets * neurons * copies))
        own = [fit_weights(w, kernel, copies=copies, dim=dim, steps=steps) for w in weights]
        dim = int(budget / ((layers + 1) * sets * neurons * copies))
        errors, floats = in_common(kernel, weights, copies, dim, steps)
        own_error, own_floats = np.mean([fit.error for fit in own]), sum(fit.floats for fit in own)
        found |= {f"own_{copies}": float(own_error), f"own_{copies}_floats": own_floats}
        found |= {f"shared_{copies}": float(np.mean(errors)), f"shared_{copies}_floats": floats}
    return found


def in_common(kernel, weights, copies, dim, steps):
    """Errors and numbers of a chain whose layers share the neurons between them, fitted all at once.

    Each layer begins at its own SVD, in one half of the copies, and its neighbours in the other.
    """
    from dynsim.learning import Target, Targets, fit_start, gauss_newton

    generator, half, count = np.random.default_rng(1), copies // 2, len(weights)
    sides = [(weights[0].shape[1], weights[0].shape[3]), *((w.shape[0], w.shape[2]) for w in weights)]
    spread = 0.3 * kernel.length / np.sqrt(dim)
    places = [(spread * generator.normal(size=(s, copies, n, dim))).astype(np.float32) for s, n in sides]
    strengths, targets = [], []
    for layer, w in enumerate(weights):
        mine = slice(0, half) if layer % 2 == 0 else slice(half, copies)
        sources, ends, own = fit_start(kernel, w, copies=half, dim=dim, generator=generator)
        places[layer][:, mine], places[layer + 1][:, mine] = sources, ends
        lambdas = np.concatenate([LEAK * own, LEAK * own], axis=2)
        lambdas[:, :, mine] = own
        strengths.append(lambdas)
        scale = 1 / float(np.sum(np.square(w, dtype=np.float64)))
        targets.append(Target(kernel, w, relations=[(layer, layer + 1, count + 1 + layer, False)], scale=scale))
    problem = Targets(targets)
    x, _ = gauss_newton(problem, [*places, *strengths], steps=steps)
    return problem.errors(x), sum(a.size for a in x)
