"""dynsim info: describe a trajectory or a model file."""

import click

from dynsim._check import refusal
from dynsim._files import to_json

from ._computation import compilation_messages

APART = ("plan", "latency", "layer_list")  # what the table of facts leaves out


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "--plan",
    is_flag=True,
    help="For a model, print the fastest way to evaluate each layer, by the measured speeds of this machine.",
)
@click.option("--latency", is_flag=True, help="For a model, measure the time of a prediction with batches of 1 and 64.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(file, plan, latency, as_json):
    """Describe FILE: a trajectory (of a run or a training), a model, an export of one as safetensors, or a converted
    network.

    \b
    Examples:
      dynsim info run.h5
      dynsim info model.h5 --json
      dynsim info model.h5 --plan --latency
      dynsim info converted.h5 --json
    """
    from dynsim.trajectory import file_kind

    kind = "export" if str(file).endswith(".safetensors") else file_kind(file)
    if kind == "model":
        with compilation_messages():
            found = describe_model(file, plan, latency)
    elif kind != "export" and (plan or latency):
        what = "a trajectory" if kind == "trajectory" else "a converted network"
        raise refusal(file, what, "a model file with --plan and --latency", error=click.UsageError)
    else:
        describe = {"export": describe_export, "trajectory": describe_trajectory, "converted": _describe_converted}
        found = describe[kind](file)
    if as_json:
        click.echo(to_json(found))
    else:
        click.echo(table({name: value for name, value in found.items() if name not in APART}))
        click.echo("\n".join(_model_lines(found)), nl=any(name in found for name in APART))


def describe_model(path, plan=False, latency=False):
    """Facts about a model file: its description, operations of a prediction, and plan and latency on request."""
    from dataclasses import asdict

    from dynsim import layers, models

    model = models.load_model(path)
    found = {"kind": "model", **models.describe(path), "operations": models.operations(model)}
    if plan:
        rates = {"file": str(layers.cache_file()), **asdict(layers.machine_rates())}
        found["plan"] = {"rates": rates, "layers": models.plan(model)}
    if latency:
        found["latency"] = models.latency(model)
    return found


def _model_lines(found):
    """Lines of the plan, of the latencies and of the layers, if there are any."""
    for layer in found.get("layer_list", ()):
        form = layer["reason"] or (
            f"{layer['bits']} bits" if layer["bits"] else f"{layer['copies']} copies, dimension {layer['dim']}"
        )
        error = "" if layer["error"] is None else f", squared error {layer['error']:.4f}"
        sizes = f"{layer['floats']:,} numbers for {layer['weights']:,}"
        yield f"  {layer['name']} ({layer['kind']}): {sizes}, {form}{error}"
    if "plan" in found:
        rates = dict(found["plan"]["rates"])
        yield f"\nplan, from rates a second kept in {rates.pop('file')}:"
        yield "  " + "  ".join(f"{name} {rate:.2g}" for name, rate in rates.items())
        for row in found["plan"]["layers"]:
            sizes = row["sizes"]
            seconds = "  ".join(f"{way} {value * 1e3:.3g} ms" for way, value in row["seconds"].items())
            yield (
                f"  layer {row['layer']} ({sizes['m']} -> {sizes['n']}), batch {row['batch']}: {row['choice']}"
                f"   expected {seconds}"
            )
    for way, times in found.get("latency", {}).items():
        yield f"latency {way:12}" + "  ".join(f"batch {batch} {ms:.3g} ms" for batch, ms in times.items())


def _describe_converted(path):
    """Facts about a converted network, its layers among them."""
    from dynsim.models import describe_converted

    return {"kind": "converted network", **describe_converted(path)}


def describe_export(path):
    """Facts about a packed or materialised model, its real bytes among them."""
    from pathlib import Path

    from dynsim.export import load_model, model_form
    from dynsim.models import count

    model = load_model(path)
    facts = {"results": model.results, "parameters": count(model), "file_bytes": Path(path).stat().st_size}
    form, config = model_form(path), dict(model.config)
    if form == "packed":  # whose seed is not stored
        del config["seed"]
    return {"kind": f"model, {form}", **config, **facts}


def describe_trajectory(path):
    """Facts about a trajectory file, in the order in which they are printed."""
    from dynsim.trajectory import Trajectory

    with Trajectory(path) as trajectory:
        groups = sorted(set(trajectory.groups.tolist()))
        parameters, provenance = trajectory.parameters, trajectory.provenance
        outcome = provenance.get("outcome") or {}
        found = {
            "kind": "trajectory",
            "neurons": trajectory.neurons,
            "dimension": trajectory.dimension,
            "copies": trajectory.copies,
            "signals": trajectory.signals or 0,
            "mass": None if trajectory.mass is None else [float(end(trajectory.mass)) for end in (min, max)],
            "groups": len(groups),
            "frames": trajectory.frames,
            "time": float(trajectory.time[-1]) if trajectory.frames else None,
            "step": int(trajectory.step[-1]) if trajectory.frames else None,
            "seed": trajectory.seed,
            "echo_gain": outcome.get("echo_gain", parameters.get("echo_gain")),
            "outcome": outcome.get("message"),
            "observables": {
                name: float(values[-1]) if len(values) else None for name, values in trajectory.observables.items()
            },
            "dtype": provenance.get("dtype"),
            "backend": provenance.get("backend"),
            "threads": provenance.get("threads"),
            "created": provenance.get("created"),
            "git_commit": provenance.get("git_commit"),
            "versions": provenance.get("versions") or {},
            "parameters": parameters,
        }
    return found


def table(found):
    """Aligned lines of names and values; the values of a dictionary stand side by side.

    >>> print(table({"neurons": 3, "seed": None, "versions": {"python": "3.12", "h5py": "3.16"}}))
    neurons   3
    versions  python 3.12, h5py 3.16
    """
    rows = [(name.replace("_", " "), _text(value)) for name, value in found.items() if value not in (None, {}, [])]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _text(value):
    if isinstance(value, dict):
        pairs = ((k, _text(v) if not isinstance(v, dict) else to_json(v)) for k, v in value.items())
        return ", ".join(f"{key} {text}" for key, text in pairs)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return _shortened(" ".join(_text(item) for item in value))
    return str(value)


def _shortened(text):
    return text if len(text) <= 200 else f"{text[:200]} ..."
