"""dynsim bench: this program beside its peers."""

from __future__ import annotations

import json

import click

# As in dynsim.benchmarks, which a test compares.
NAMES = ("pairs", "engine", "growth", "product", "fit", "train")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Times each contestant runs.")
@click.option("--full", is_flag=True, help="Also the largest sizes.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(names, rounds, full, as_json):
    """Run benchmarks NAMES (all without a name): every contestant in a process of its own, in turn.

    \b
    pairs    pair sums against KeOps
    engine   integration against SciPy, jitcdde and ddeint
    growth   time against the number of neurons
    product  weight-free products against BLAS
    fit      places fitted to weights, against Adam
    train    an epoch of LeNet-5 against PyTorch

    A peer that is not installed is named in its place: pip install 'dynsim[bench]'.

    \b
    dynsim bench pairs
    dynsim bench train --json
    """
    from dynsim.benchmarks import BENCHMARKS, run

    for name in names or NAMES:
        click.echo(f"{name}: {BENCHMARKS[name]} ...", err=True)
        found = run(name, rounds, full)
        click.echo(json.dumps(found) if as_json else _text(found))


def _text(found):
    lines = [f"{found['benchmark']} on {found['machine']['processor']}, {found['machine']['cores']} cores"]
    for row in found["rows"]:
        lines.append("  " + "  ".join(_entry(key, value) for key, value in row.items()))
    return "\n".join(lines)


def _entry(key, value):
    if isinstance(value, dict):
        return f"{key} {value['seconds']:.3g} s" if "seconds" in value else f"{key} not installed"
    return f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
