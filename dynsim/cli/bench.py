"""dynsim bench: time this program and others in one run."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import to_json
from dynsim.benchmarks import BENCHMARKS, DRAWN

from ._progress_bars import ProgressBar
from ._standard_error import say

_LIST = "\n".join(f"{name:8} {text}" for name, text in BENCHMARKS.items())
_HELP = f"""Run the benchmarks NAMES, by default all. Every program runs in its own process, one after the other.

\b
{_LIST}

Programs that are not installed are reported; pip install 'dynsim[bench]' installs them.

\b
dynsim bench pairs
dynsim bench pairs --native
dynsim bench train --json
dynsim bench product --full --figure product.png
dynsim bench growth --full --figure growth.png
"""


@click.command(help=_HELP)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often every program runs.")
@click.option("--full", is_flag=True, help="Include the largest sizes.")
@click.option("--backend", type=click.Choice(("numba", "cupy", "auto")), help="Backend of our pair sums (pairs).")
@click.option("--native", is_flag=True, help="Pair loops in C beside ours, made by the system's compiler (pairs).")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw time against size (growth, product).")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(names, rounds, full, backend, native, figure, as_json):
    """Run benchmarks; the help is put together above."""
    from dynsim.benchmarks import draw, measure

    names = names or tuple(BENCHMARKS)
    given = (("--backend", backend, ("pairs",)), ("--native", native or None, ("pairs",)), ("--figure", figure, DRAWN))
    for option, value, owners in given:
        if value is not None and (len(names) != 1 or names[0] not in owners):
            named = " or ".join(owners)
            shown = "" if value is True else f" {value}"
            wanted, do = f"{named} alone", f"as dynsim bench {owners[0]} {option}{shown}"
            raise refusal(option, f"it with {', '.join(names)}", wanted, do, error=click.UsageError)
    if figure is not None:
        from dynsim.plots import expect_format

        expect_format(figure)  # before the work, not after it
    for name in names:
        say(f"{name}: {BENCHMARKS[name]} ...")
        with ProgressBar("run", delay=0.0) as bar:
            options = {"backend": backend} if backend else {}
            options |= {"native": True} if native else {}
            found = measure(name, rounds=rounds, full=full, progress=bar, **options)
        click.echo(to_json(found) if as_json else _text(found))
        if figure is not None:
            draw(found, figure)
            say(f"written {figure}")


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
