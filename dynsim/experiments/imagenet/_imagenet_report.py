"""The table, beside the published numbers; every layer in a separate file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dynsim._files import write_json, write_whole

NOTE = """\
Published values stand in brackets. Parameters: every stored number, with norms, biases and what else stays ordinary.
MACs: products of the linear layers for one image; materialised: the same, and H d for each weight computed from
places, once for any number of images; weight-free: sorted sums, which the linear kernel of l1 distances allows. By
which rule the published counts of DyN were made is unknown, so they are not directly comparable."""


def report(recipe, results, folder):
    """Write report.md, report.json and layers.md into a folder; returns the Markdown of the table."""
    folder = Path(folder)
    rows = [(row, task, results.get(task.name)) for row, task in zip(recipe.rows, recipe.tasks(), strict=True)]
    text = "\n".join(_table(recipe, rows)) + "\n"
    write_whole(folder / "report.md", text)
    write_whole(folder / "layers.md", "\n".join(_layers(rows)) + "\n")
    plain = [
        {
            "published": row.get("published", {}),
            **{name: getattr(task, name) for name in ("copies", "dim", "steps")},
            **{name: value for name, value in result.items() if name != "layers"},
        }
        for row, task, result in rows
        if result is not None
    ]
    write_json(folder / "report.json", {"title": recipe.title, "rows": plain}, indent=1)
    return text


def _table(recipe, rows):
    yield f"# {recipe.title}"
    yield ""
    yield from NOTE.splitlines()
    yield ""
    names = [
        "backbone",
        "copies, d",
        "parameters, M",
        "DyN, M",
        "MB",
        "GMACs, weights",
        "DyN materialised",
        "weight-free",
    ]
    names += [f"{data}, {kind}" for data in recipe.folders for kind in ("weights", "DyN")]
    names += ["converted", "seconds", "peak GiB"]
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    for row, task, result in rows:
        yield "| " + " | ".join(_cells(recipe, row.get("published", {}), task, result)) + " |"
    yield ""
    deltas = ", ".join(["0", *map(str, recipe.deltas)])
    yield f"Accuracy in percent under uniform noise of {deltas} on what is stored. Fits: {_steps(rows)} Gauss-Newton"
    yield "steps a layer, one start. Random weights have no accuracy that could be compared. Every layer: layers.md."


def _steps(rows):
    return " or ".join(str(steps) for steps in sorted({task.steps for _, task, _ in rows}))


def _cells(recipe, published, task, result):
    name = f"{task.backbone} ({published['name']})" if "name" in published else task.backbone
    shape = f"{task.copies}, {task.dim}"
    if result is None:
        return [name, shape, *["not run"] * (9 + 2 * len(recipe.folders))]
    macs = result["macs"]
    cells = [name, shape]
    cells.append(_beside(result["parameters_before"] / 1e6, published.get("parameters_before")))
    cells.append(_beside(result["parameters"] / 1e6, published.get("parameters")))
    cells.append(f"{result['bytes_before'] / 1e6:.1f} -> {result['bytes'] / 1e6:.1f}")
    cells.append(_beside(macs["weights"] / 1e9, published.get("macs_before")))
    cells.append(_beside((macs["weights"] + macs["making"]) / 1e9, published.get("macs")))
    cells.append(_beside(macs["weight_free"] / 1e9, published.get("macs_weight_free")))
    for data in recipe.folders:
        measured, known = result["accuracy"].get(data), published.get("accuracy", {}).get(data, {})
        for kind in ("weights", "particles"):
            ours = "not measured" if measured is None else " / ".join(f"{x:.2f}" for x in measured[kind].values())
            cells.append(f"{ours} [{known[kind]}]" if kind in known else ours)
    converted = sum(layer["converted"] for layer in result["layers"])
    memory = result["peak_memory_bytes"]
    cells.append(f"{converted} of {len(result['layers'])}")
    cells += [
        f"{result['seconds']:.0f}{' (the last part)' if result['resumed'] else ''}",
        "" if memory is None else f"{memory / 2**30:.1f}",
    ]
    return cells


def _beside(ours, published):
    return f"{ours:.3f}" if published is None else f"{ours:.3f} [{published}]"


def _layers(rows):
    yield "# Every layer"
    for _, task, result in rows:
        if result is None:
            continue
        kept = Counter(layer["reason"] for layer in result["layers"] if not layer["converted"])
        yield f"\n## {task.backbone}, {task.copies} copies, d = {task.dim}\n"
        yield "| what stays ordinary, and why | layers |"
        yield "|---|---|"
        for reason, number in kept.most_common():
            yield f"| {reason} | {number} |"
        yield "\n| layer | kind | shape | weights | numbers | squared error | of an SVD with as many numbers |"
        yield "|---|---|---|---|---|---|---|"
        for layer in result["layers"]:
            shape = " x ".join(map(str, layer["shape"]))
            errors = [layer["reason"] or "kept", ""]
            if layer["converted"]:
                errors = ["" if e is None else f"{e:.4f}" for e in (layer["error"], layer["svd_error"])]
            numbers = f"{layer['weights']:,} | {layer['floats']:,}"
            yield f"| {layer['name']} | {layer['kind']} | {shape} | {numbers} | {errors[0]} | {errors[1]} |"
