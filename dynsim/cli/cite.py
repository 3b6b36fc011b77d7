"""dynsim cite: print references for what a run used."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._files import to_json

from ._references import bibtex, text, used


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--bibtex", "as_bibtex", is_flag=True, help="Print BibTeX entries.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(file, as_bibtex, as_json):
    """Print references for FILE (a trajectory, a model or a converted network): for its method, kernel, learning and
    data set, and for this program.

    Without FILE, cite this program and the paper whose method it implements.

    \b
    dynsim cite
    dynsim cite run.h5
    dynsim cite out/model.h5 --bibtex
    """
    references = used({} if file is None else _facts(file))
    if as_json:
        listed = [{"key": key, "for": why, "text": text(key), "bibtex": bibtex(key)} for key, why in references]
        click.echo(to_json(listed))
    elif as_bibtex:
        click.echo("\n\n".join(bibtex(key) for key, _ in references))
    else:
        click.echo("\n".join(f"{text(key)}\n    ({why})" for key, why in references))


def _facts(file):
    """What the file says it was made with."""
    from dynsim.trajectory import Trajectory, file_kind

    kind = file_kind(file)
    if kind == "converted":
        from dynsim.models import describe_converted

        return {"kernel": next(iter(describe_converted(file)["kernels"]), None)}
    if kind == "model":
        from dynsim.models import describe

        found = describe(file)
        results = found.get("results", {})
        facts = {"kernel": None if found.get("weights") else found.get("kernel")}
        facts |= {name: found.get(name) for name in ("model", "form")}
        return facts | {name: results.get(name) for name in ("motion", "data", "distillation")}
    with Trajectory(file) as trajectory:
        stored = trajectory.parameters
    config, run = stored.get("config"), stored
    config = config if isinstance(config, dict) else {}
    if isinstance(config.get("run"), dict):
        run = {**stored, **config["run"]}
    return {
        "trajectory": True,
        "integrator": None if "model" in stored else run.get("method"),
        "delay": config.get("delay", stored.get("delay")),
        "kernel": config.get("kernel", stored.get("kernel")),
        "model": stored.get("model"),
    }
