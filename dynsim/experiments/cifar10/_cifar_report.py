"""The table of a conversion experiment, and its figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim._files import write_json, write_whole

TITLES = {"original": "original", "particles": "particles", "low-rank": "SVD", "rounded": "weights, rounded"}


def report(recipe, results, folder):
    """Write report.md, report.json and figures into a folder from what is finished; returns the Markdown."""
    folder = Path(folder)
    rows = [(task, results.get(task.name)) for task in recipe.tasks()]
    text = _markdown(recipe, rows)
    write_whole(folder / "report.md", text)
    names = ("name", "kind", "budget", "tuned", "seed")
    listed = [{**{name: getattr(task, name) for name in names}, "result": result} for task, result in rows]
    write_json(folder / "report.json", {"title": recipe.title, "rows": listed}, indent=1)
    _figures(recipe, rows, folder)
    return text


def _markdown(recipe, rows):
    lines = [
        f"# {recipe.title}",
        "",
        f"Layers: {', '.join(recipe.include)}. Accuracy in percent on the test images, read once for every row. Floats "
        "and bytes of these layers are shares of their float32 weights. Under delta: "
        f"{recipe.draws} draws of uniform noise on every number that is stored for these layers: mean (least to most).",
        "",
        "| network | floats | bytes | training | ideal | " + " | ".join(f"delta {d:g}" for d in recipe.deltas) + " |",
        "|" + "---|" * (5 + len(recipe.deltas)),
    ]
    for task, result in rows:
        name = TITLES[task.kind]
        training = "fine-tuned" if task.tuned else "" if task.kind == "original" else "data-free"
        if result is None:
            budget = "" if task.budget is None else f"{task.budget:g}"
            lines.append(f"| {name} | {budget} | | {training} | not measured |" + " |" * len(recipe.deltas))
            continue
        if result.get("bits"):
            name += f" to {result['bits']} bits"
        noise = [result["noise"][str(delta)] for delta in recipe.deltas]
        shown = [f"{np.mean(draws):.1f} ({min(draws):.1f} to {max(draws):.1f})" for draws in noise]
        lines.append(
            f"| {name} | {result['share']:.3f} | {result['bytes']:.3f} | {training} | {result['test_accuracy']:.1f} | "
            + " | ".join(shown)
            + " |"
        )
    lines += _relative(recipe, rows)
    seconds = [
        (task, result["seconds"]) for task, result in rows if result and task.kind == "particles" and not task.tuned
    ]
    if seconds:
        lines += ["", "Seconds of the conversions: " + ", ".join(f"{t.budget:g}: {s:.0f}" for t, s in seconds) + "."]
    for task, result in rows:
        if result and task.kind == "particles" and not task.tuned:
            lines += ["", f"## Layers at {task.budget:g}", "", *_layers(result["layers"])]
    return "\n".join(lines) + "\n"


def _relative(recipe, rows):
    """Noise in units of each tensor's root mean square, and numbers of few bits: both say nothing of units."""
    if not recipe.relative and not recipe.bits:
        return
    names = [f"delta {delta:g} rms" for delta in recipe.relative] + [f"{bits} bits" for bits in recipe.bits]
    yield from ("", "## Independent of units", "")
    yield "Noise relative to each tensor's root mean square, and tensors rounded to so many bits for each number."
    yield from ("", f"| network | floats | training | {' | '.join(names)} |", "|" + "---|" * (3 + len(names)))
    for task, result in rows:
        if result is not None and task.kind != "rounded":
            cells = [f"{np.mean(result['relative'][str(delta)]):.1f}" for delta in recipe.relative]
            cells += [f"{result['rounding'][str(bits)]:.1f}" for bits in recipe.bits]
            training = "fine-tuned" if task.tuned else "" if task.kind == "original" else "data-free"
            yield f"| {TITLES[task.kind]} | {result['share']:.3f} | {training} | {' | '.join(cells)} |"


def _layers(layers):
    lines = ["| layer | weights | floats | form | squared error | SVD, as many floats | note |", "|" + "---|" * 7]
    for layer in layers:
        form = error = svd = ""
        if layer["converted"]:
            rank = f" + rank {layer['rank']}" if layer["rank"] else ""
            form, error = f"{layer['copies']} copies, d = {layer['dim']}{rank}", f"{layer['error']:.4f}"
            svd = f"{layer['svd_error']:.4f}"
        lines.append(
            f"| {layer['name']} | {layer['weights']:,} | {layer['floats']:,} | {form} | {error} | {svd} | "
            f"{layer['reason']} |"
        )
    return lines


def _figures(recipe, rows, folder):
    from dynsim.plots import compare, save

    series, noise, rounding = {}, {}, {}
    for task, result in rows:
        if result is None:
            continue
        name = TITLES[task.kind] + (", fine-tuned" if task.tuned else "")
        place = result["bytes"] if task.kind == "rounded" else result["share"]
        series.setdefault(name, []).append((place, result["test_accuracy"]))
        if task.budget in (None, recipe.budgets[0]) and task.kind != "rounded":
            curve = [(float(delta), float(np.mean(draws))) for delta, draws in result["noise"].items()]
            full = name + ("" if task.budget is None else f" {task.budget:g}")
            noise[full] = curve
            rounding[full] = [(int(bits), accuracy) for bits, accuracy in result["rounding"].items()]
    if series:
        label = "floats (rounded: bytes) of the layers, share of their weights"
        save(compare(series, x=label, y="test accuracy, %", title=recipe.title), folder / "accuracy.png")
    if noise and recipe.deltas:
        figure = compare(noise, x="delta", y="test accuracy, %", logarithmic=True, lines=True, title=recipe.title)
        save(figure, folder / "noise.png")
    if rounding and recipe.bits:
        figure = compare(rounding, x="bits of a number", y="test accuracy, %", lines=True, title=recipe.title)
        save(figure, folder / "bits.png")
