"""dynsim bench: this program beside its peers."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import click

from ._progress import Count

# As in dynsim.benchmarks, which a test compares.
NAMES = ("pairs", "engine", "growth", "product", "fit", "sharing", "train")
DRAWN = ("growth", "product")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Times each contestant runs.")
@click.option("--full", is_flag=True, help="Also the largest sizes.")
@click.option("--backend", type=click.Choice(("numba", "cupy", "auto")), help="Who computes our pair sums (pairs).")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw time against size (of growth or product).")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(names, rounds, full, backend, figure, as_json):
    """Run benchmarks NAMES (all without a name): every contestant in a process of its own, in turn.

    \b
    pairs    pair sums against KeOps
    engine   integration against SciPy, jitcdde and ddeint
    growth   time against the number of neurons
    product  weight-free products against BLAS
    fit      places fitted to weights, against Adam
    sharing  neurons that layers have in common, against each its own
    train    an epoch of LeNet-5 against PyTorch

    A peer that is not installed is named in its place: pip install 'dynsim[bench]'.

    \b
    dynsim bench pairs
    dynsim bench train --json
    dynsim bench product --full --figure product.png
    dynsim bench growth --full --figure growth.png
    """
    from dynsim.benchmarks import BENCHMARKS, run

    names = names or NAMES
    for option, value, owners in (("--backend", backend, ("pairs",)), ("--figure", figure, DRAWN)):
        if value is not None and (len(names) != 1 or names[0] not in owners):
            named = " or ".join(owners)
            raise click.UsageError(f"{option} belongs to {named}; expected: dynsim bench {owners[0]} {option} {value}")
    if figure is not None:
        from dynsim.plots import expect_format

        expect_format(figure)  # before the work, not after it
    for name in names:
        click.echo(f"{name}: {BENCHMARKS[name]} ...", err=True)
        with Count("run", delay=0.0) as progress:
            found = run(name, rounds, full, progress, **({"backend": backend} if backend else {}))
        click.echo(json.dumps(found) if as_json else _text(found))
        if figure is not None:
            import_module(f"dynsim.benchmarks.{name}").figure(found, figure)
            click.echo(f"written {figure}", err=True)


def _text(found):
    lines = [f"{found['benchmark']} on {found['machine']['processor']}, {found['machine']['cores']} cores"]
    for row in found["rows"]:
        lines.append("  " + "  ".join(_entry(key, value) for key, value in row.items()))
    for columns, size in found.get("break_even", {}).items():
        lines.append(f"  break-even with {columns} vectors: {size if size else 'none in these sizes'}")
    return "\n".join(lines)


def _entry(key, value):
    if isinstance(value, dict):
        if "seconds" not in value:
            return f"{key} not installed"
        more = "".join(
            f" ({name.removesuffix('_seconds').replace('_', ' ')} {value[name]:.3g})"
            for name in ("sorting_seconds", "resorting_seconds", "stated_error", "peak_gib")
            if name in value
        )
        return f"{key} {value['seconds']:.3g} s{more}"
    return f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
