"""`dynsim info`: what a file is."""

import json

import click


@click.command(name="info")
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(file, as_json):
    """Say what FILE is: a trajectory (of a run or a training), a model, or an export of one as safetensors.

    \b
    Examples:
      dynsim info run.h5
      dynsim info model.h5 --json
    """
    from dynsim.trajectory import file_kind

    if str(file).endswith(".safetensors"):
        found = describe_export(file)
    elif file_kind(file) == "model":
        from dynsim.models import describe

        found = {"kind": "model", **describe(file)}
    else:
        found = describe_trajectory(file)
    if as_json:
        click.echo(json.dumps(_strict(found)))
    else:
        click.echo(table(found))


def describe_export(path):
    """Facts about a packed or materialised model, its real bytes among them."""
    from pathlib import Path

    from dynsim.interop import form, load_model
    from dynsim.models import count

    model = load_model(path)
    facts = {"results": model.results, "parameters": count(model), "file_bytes": Path(path).stat().st_size}
    return {"kind": f"model, {form(path)}", **model.config, **facts}


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
        pairs = ((k, _text(v) if not isinstance(v, dict) else json.dumps(_strict(v))) for k, v in value.items())
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


def _strict(value):
    """JSON knows neither NaN nor infinity: they become null."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
