"""The table of a conversion experiment, and its figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim._files import write_json, write_whole

from ._cifar_task import FREE, TUNED

TITLES = {"original": "original", "particles": "particles", "low-rank": "SVD", "rounded": "weights, rounded"}


def report(recipe, results, folder):
    """Write report.md, report.json and figures into a folder from what is finished; returns the Markdown."""
    folder = Path(folder)
    rows = [(task, results.get(task.name)) for task in recipe.tasks()]
    text = _markdown(recipe, rows)
    write_whole(folder / "report.md", text)
    names = ("name", "kind", "budget", "training", "seed")
    listed = [{**{name: getattr(task, name) for name in names}, "result": result} for task, result in rows]
    write_json(folder / "report.json", {"title": recipe.title, "rows": listed}, indent=1)
    _figures(recipe, rows, folder)
    return text


def _grouped(rows):
    """[(task, results)]: those of all seeds together, without those that are not measured."""
    found = {}
    for task, result in rows:
        found.setdefault((task.kind, task.budget, task.training), (task, []))[1].extend(filter(None, [result]))
    return list(found.values())


def _seeds(recipe, task, found):
    """What is said of a row of which not all seeds are measured."""
    wanted = len(recipe.seeds) if task.training == TUNED else 1
    return "" if len(found) == wanted else f", {len(found)} of {wanted} seeds"


def _spread(numbers):
    """Mean, and least to most where there are several."""
    mean = f"{np.mean(numbers):.1f}"
    return mean if len(numbers) == 1 else f"{mean} ({min(numbers):.1f} to {max(numbers):.1f})"


def _markdown(recipe, rows):
    lines = [
        f"# {recipe.title}",
        "",
        f"Layers: {', '.join(recipe.include)}. Accuracy in percent on the test images, read once for every row. Floats "
        "and bytes of these layers are shares of their float32 weights. Under delta: "
        f"{recipe.draws} draws of uniform noise on every number that is stored for these layers. Several numbers are "
        "given as mean (least to most), of draws and of seeds.",
        "",
        "| network | floats | bytes | training | ideal | " + " | ".join(f"delta {d:g}" for d in recipe.deltas) + " |",
        "|" + "---|" * (5 + len(recipe.deltas)),
    ]
    for task, found in _grouped(rows):
        if not found:
            budget = "" if task.budget is None else f"{task.budget:g}"
            name = f"| {TITLES[task.kind]} | {budget} | | {_training(task, recipe)}"
            lines.append(f"{name} | not measured |" + " |" * len(recipe.deltas))
            continue
        first = found[0]
        name = TITLES[task.kind] + (f" to {first['bits']} bits" if first.get("bits") else "")
        noise = (_spread(_together(found, "noise", delta)) for delta in recipe.deltas)
        cells = [_spread([result["test_accuracy"] for result in found]), *noise]
        training = _training(task, recipe) + _seeds(recipe, task, found)
        lines.append(f"| {name} | {first['share']:.3f} | {first['bytes']:.3f} | {training} | {' | '.join(cells)} |")
    lines += _relative(recipe, rows)
    made = [(task, found[0]) for task, found in _grouped(rows) if found and _is_conversion(task)]
    if made:
        seconds = (f"{task.budget:g} {task.training}: {result['seconds']:.0f}" for task, result in made)
        lines += ["", f"Seconds of the conversions: {', '.join(seconds)}."]
    for task, result in made:
        if task.training == FREE:
            lines += ["", f"## Layers at {task.budget:g}", "", *_layers(result["layers"])]
    return "\n".join(lines) + "\n"


def _is_conversion(task):
    return task.kind == "particles" and task.training != TUNED


def _training(task, recipe):
    if task.kind == "original":
        return ""
    if task.training == FREE:
        return FREE
    views = f", {recipe.views} views each" if recipe.views > 1 else ""
    matched = f"matched on {recipe.matched:,} images{views}"
    return matched if task.training != TUNED else f"{matched}; fine-tuned"


def _together(found, name, key):
    """What all seeds measured under this key, as one list."""
    values = (result[name][str(key)] for result in found)
    return [number for value in values for number in (value if isinstance(value, list) else [value])]


def _relative(recipe, rows):
    """Noise in units of each tensor's root mean square, and numbers of few bits: both say nothing of units."""
    if not recipe.relative and not recipe.bits:
        return
    names = [f"delta {delta:g} rms" for delta in recipe.relative] + [f"{bits} bits" for bits in recipe.bits]
    yield from ("", "## Independent of units", "")
    yield "Noise relative to each tensor's root mean square, and tensors rounded to so many bits a number: means."
    yield from ("", f"| network | floats | training | {' | '.join(names)} |", "|" + "---|" * (3 + len(names)))
    for task, found in _grouped(rows):
        if found and task.kind != "rounded":
            columns = [("relative", delta) for delta in recipe.relative] + [("rounding", bits) for bits in recipe.bits]
            cells = [f"{np.mean(_together(found, *column)):.1f}" for column in columns]
            training = _training(task, recipe)
            yield f"| {TITLES[task.kind]} | {found[0]['share']:.3f} | {training} | {' | '.join(cells)} |"


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
    for task, found in _grouped(rows):
        if not found:
            continue
        name = TITLES[task.kind] + ("" if task.training == FREE else f", {task.training}")
        place = found[0]["bytes" if task.kind == "rounded" else "share"]
        series.setdefault(name, []).append((place, float(np.mean([result["test_accuracy"] for result in found]))))
        if task.budget in (None, recipe.budgets[0]) and task.kind != "rounded":
            full = name + ("" if task.budget is None else f" {task.budget:g}")
            noise[full] = _curve(found, "noise", recipe.deltas)
            rounding[full] = _curve(found, "rounding", recipe.bits)
    if series:
        label = "floats (rounded: bytes) of the layers, share of their weights"
        save(compare(series, x=label, y="test accuracy, %", title=recipe.title), folder / "accuracy.png")
    if noise and recipe.deltas:
        figure = compare(noise, x="delta", y="test accuracy, %", logarithmic=True, lines=True, title=recipe.title)
        save(figure, folder / "noise.png")
    if rounding and recipe.bits:
        figure = compare(rounding, x="bits of a number", y="test accuracy, %", lines=True, title=recipe.title)
        save(figure, folder / "bits.png")


def _curve(found, name, keys):
    return [(float(key), float(np.mean(_together(found, name, key)))) for key in keys]
