"""dynsim bench: time this program and others in one run."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import read_json_lines, to_json
from dynsim.benchmarks import BENCHMARKS, DRAWN
from dynsim.errors import FileError

from ._progress_bars import ProgressBar
from ._standard_error import say

_LIST = "\n".join(f"{name:8} {text}" for name, text in BENCHMARKS.items())
_HELP = f"""Run the benchmarks NAMES, by default all; or compare two reports that --json has written.

Every program runs in its own process, one after the other.

\b
{_LIST}

Programs that are not installed are reported; pip install 'dynsim[bench]' installs them.

\b
dynsim bench pairs
dynsim bench pairs --native
dynsim bench train --json
dynsim bench product --full --figure product.png
dynsim bench growth --full --figure growth.png
dynsim bench all --json > new.json
dynsim bench compare old.json new.json --most 1.1
"""


@click.command(help=_HELP)
@click.argument("names", nargs=-1)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often every program runs.")
@click.option("--full", is_flag=True, help="Include the largest sizes.")
@click.option("--backend", type=click.Choice(("numba", "cupy", "auto")), help="Backend of our pair sums (pairs).")
@click.option("--native", is_flag=True, help="Pair loops in C beside ours, made by the system's compiler (pairs).")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw time against size (growth, product).")
@click.option(
    "--most", type=click.FloatRange(0, min_open=True), help="With compare: how many times longer ours may take [1.1]."
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(names, rounds, full, backend, native, figure, most, as_json):
    """Run benchmarks; the help is put together above."""
    from dynsim.benchmarks import draw, measure

    if names[:1] == ("compare",):
        given = {"--full": full, "--backend": backend, "--native": native, "--figure": figure}
        for option in (option for option, value in given.items() if value):
            raise refusal(option, "it with compare", "--most and --json only", error=click.UsageError)
        return _compare(names[1:], 1.1 if most is None else most, as_json)
    if most is not None:
        raise refusal("--most", "it without compare", "dynsim bench compare OLD NEW", error=click.UsageError)
    names = _chosen(names)
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

    return None


def _chosen(names):
    choice = click.Choice(["all", *BENCHMARKS])
    names = [choice.convert(name, None, None) for name in names]
    return tuple(BENCHMARKS) if not names or "all" in names else tuple(names)


def _compare(files, most, as_json):
    """Two files of --json: exit code 1 if ours takes more than `most` times as long in the second."""
    if len(files) != 2:
        raise refusal("compare", f"{len(files)} files", "two, written by --json", error=click.UsageError)
    from dynsim.benchmarks import compare_runs, in_one_only

    reports = [_reports(Path(file)) for file in files]
    rows, alone = compare_runs(*reports), in_one_only(*reports)
    slower = [row for row in rows if not row["peer"] and row["ratio"] > most]
    if as_json:
        click.echo(to_json({"most": most, "slower": len(slower), "rows": rows, "in_one_only": alone}))
    else:
        width = max((len(f"{row['benchmark']}: {row['case']}") for row in rows), default=0)
        for row in rows:
            mark = "  slower" if row in slower else ""
            case = f"{row['benchmark']}: {row['case']}"
            times = f"{row['before']:.3g} s -> {row['after']:.3g} s  {row['ratio']:.2f}"
            click.echo(f"{case:{width}}  {row['contestant']:14} {times}{mark}")
    for one in alone:
        file = files[0] if one["report"] == "before" else files[1]
        say(f"only in {file}: {one['benchmark']}: {one['case']}, {one['contestant']}")
    if not rows:
        raise refusal("compare", "no case that both files have", "two reports of the same benchmarks")
    if slower:
        say(f"{len(slower)} of {len(rows)} took more than {most:g} times as long.")
        raise SystemExit(1)


def _reports(path):
    """The reports in a file, a line each."""
    found = read_json_lines(path)
    for report in found:
        if not (isinstance(report, dict) and report.get("benchmark") in BENCHMARKS and _has_rows(report)):
            raise FileError(f"{path} is no report of dynsim bench: write one with dynsim bench --json > {path.name}.")
    return found


def _has_rows(report):
    rows = report.get("rows")
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _text(found):
    machine = found["machine"]
    lines = [f"{found['benchmark']} on {machine['processor']}, {machine['cores']} cores"]
    for one in machine.get("blas", []):
        lines.append(
            f"  NumPy's BLAS: {one['library']} {one['version']}, kernel {one['kernel']}, {one['threads']} threads"
        )
    for name, value in machine.get("left_out", {}).items():
        lines.append(f"  {name} = {value} was left out: it may hold a library to slower instructions")
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
        rounds = value.get("rounds", [])
        spread = f" ({min(rounds):.3g} to {max(rounds):.3g} in {len(rounds)} rounds)" if len(rounds) > 1 else ""
        return f"{key} {value['seconds']:.3g} s{spread}{more}"
    return f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
