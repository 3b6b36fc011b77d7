"""The table of an experiment: ours beside the published numbers, as Markdown, JSON and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dynsim._files import write_json, write_whole
from dynsim.plots import compare, plot, save

from ._teacher_task import teacher_in_words
from ._training_task import KINDS

if TYPE_CHECKING:
    from ._training_recipe import Recipe

TITLES = {
    "weights": "ordinary network",
    "forces": "forces",
    "fit": "fit (published: fixed)",
    "alternating": "alternating (published: unfixed)",
    "low-rank": "low rank, as many numbers",
    "pruned": "pruned, as many numbers",
}


def report(recipe: Recipe, results: dict[str, Any], *, folder: str | Path) -> str:
    """Write report.md, report.json and figures into a folder from what is finished; returns the Markdown."""
    folder = Path(folder)
    cells = _cells(recipe, results)
    text = "\n".join([*_markdown(recipe, cells), *_teacher(recipe, results)]) + "\n"
    write_whole(folder / "report.md", text)
    listed = [{"method": kind, "row": row, **cell} for (kind, row), cell in cells.items()]
    write_json(folder / "report.json", {"title": recipe.title, "cells": listed}, indent=1)
    _figures(recipe, cells, results, folder)
    return text


def _cells(recipe, results):
    """{(kind, row): numbers over the seeds that are finished}."""
    cells = {}
    for task in recipe.tasks():
        result = results.get(task.name)
        if result is None or task.kind == "teacher":
            continue
        cell = cells.setdefault((task.kind, task.row), {"seeds": [], "accuracies": [], "seconds": [], "noise": {}})
        cell["seeds"].append(task.seed)
        cell["accuracies"].append(result["test_accuracy"])
        cell["seconds"].append(result["seconds_per_epoch"])
        cell["parameters"] = result["parameters"]
        for delta, draws in result["noise"].items():
            cell["noise"].setdefault(delta, []).extend(draws)
    for cell in cells.values():
        cell["wanted"] = len(recipe.seeds)
        cell["mean"] = float(np.mean(cell["accuracies"]))
        cell["deviation"] = float(np.std(cell["accuracies"], ddof=1)) if len(cell["accuracies"]) > 1 else None
    return cells


def _markdown(recipe, cells):
    methods = [kind for kind in KINDS if kind in recipe.methods and kind != "weights"]
    lines = [f"# {recipe.title}", "", f"Data: {recipe.data}. Seeds: {', '.join(map(str, recipe.seeds))}.", ""]
    lines.append("Test accuracy in percent, mean ± deviation over the seeds; in brackets the published value.")
    lines += ["", "| network | memory | disk | stored floats | " + " | ".join(TITLES[kind] for kind in methods) + " |"]
    lines.append("|" + "---|" * (4 + len(methods)))
    if ("weights", None) in cells:
        cell = cells["weights", None]
        numbers = _numbers(cell["parameters"])
        lines.append(
            f"| ordinary network: {_accuracy(cell, None)} | {numbers} | " + " | ".join("" for _ in methods) + " |"
        )
    for number, row in enumerate(recipe.rows):
        published = row.get("published", {})
        shown = [cells.get((kind, number)) for kind in methods]
        counted = next((c["parameters"] for k, c in zip(methods, shown, strict=True) if c and k in DYN), None)
        counts = _numbers(counted) if counted else "  |  |  "
        entries = [
            _accuracy(cell, published.get(kind), published.get("deviation") if kind == "alternating" else None)
            for kind, cell in zip(methods, shown, strict=True)
        ]
        lines.append(f"| {_name(row)} | {counts} | " + " | ".join(entries) + " |")
    if recipe.deltas:
        lines += ["", *_noise_table(recipe, cells)]
    return lines


def _teacher(recipe, results):
    methods = [kind for kind, options in recipe.settings.items() if "distillation" in options]
    return teacher_in_words(recipe.tasks(), results, f"Trainings of the methods {', '.join(methods)}")


DYN = ("forces", "fit", "alternating")


def _name(row):
    return ", ".join(f"{key} {value}" for key, value in row.get("options", {}).items()) or "default"


def _numbers(parameters):
    return " | ".join(f"{parameters[key]:,}" for key in ("memory", "disk", "stored_floats"))


def _accuracy(cell, published, deviation=None):
    if cell is None:
        return "not run"
    text = f"{cell['mean']:.2f}" + (f" ± {cell['deviation']:.2f}" if cell["deviation"] is not None else "")
    if len(cell["seeds"]) < cell["wanted"]:
        text += f" ({len(cell['seeds'])} of {cell['wanted']} seeds)"
    if published is None:
        return text
    return text + f" [{published:.2f}" + (f" ± {deviation:.2f}" if deviation is not None else "") + "]"


def _noise_table(recipe, cells):
    lines = [
        f"Stored numbers perturbed by uniform noise of size delta, {recipe.draws} draws a seed: mean, lowest "
        "and highest of all draws.",
        "",
        "| method | network | " + " | ".join(f"{delta:g}" for delta in recipe.deltas) + " |",
        "|" + "---|" * (2 + len(recipe.deltas)),
    ]
    for (kind, row), cell in cells.items():
        name = "" if row is None else _name(recipe.rows[row])
        shown = []
        for delta in recipe.deltas:
            draws = cell["noise"].get(str(delta), [])
            shown.append(f"{np.mean(draws):.2f} ({min(draws):.2f} to {max(draws):.2f})" if draws else "")
        lines.append(f"| {TITLES[kind]} | {name} | " + " | ".join(shown) + " |")
    return lines


def _figures(recipe, cells, results, folder):
    for count, label in (("memory", "numbers, counted as in the paper"), ("bytes", "bytes, float32")):
        series = {}
        for (kind, _), cell in cells.items():
            point = (cell["parameters"][count], cell["mean"], cell["deviation"] or 0.0)
            series.setdefault(TITLES[kind], []).append(point)
        if count == "memory":
            for kind in DYN:
                points = [
                    (row["published"]["memory"], row["published"][kind])
                    for row in recipe.rows
                    if {"memory", kind} <= set(row.get("published", {}))
                ]
                if points and kind != "fit":  # far below: it would hide all others
                    series["published"] = points
        if series:
            figure = compare(series, x=label, y="test accuracy, %", logarithmic=True, title=recipe.title)
            save(figure, folder / f"accuracy-{count}.png")
    curves = {}
    for task in recipe.tasks():
        result = results.get(task.name)
        if task.kind in ("weights", "forces") and result and result["metrics"] and task.seed == recipe.seeds[0]:
            name = TITLES[task.kind] + ("" if task.row is None else f" {task.row + 1}")
            curves[name] = [(m["epoch"], m["validation_accuracy"]) for m in result["metrics"]]
    if curves:
        figure = compare(curves, x="epoch", y="accuracy on held-out images, %", lines=True, title=recipe.title)
        save(figure, folder / "training.png")
    noise = {
        TITLES[kind] + ("" if row is None else f" {row + 1}"): [
            (float(delta), float(np.mean(draws))) for delta, draws in cell["noise"].items()
        ]
        for (kind, row), cell in cells.items()
        if cell["noise"] and row in (None, 0)
    }
    if noise:
        figure = compare(noise, x="delta", y="test accuracy, %", logarithmic=True, lines=True, title=recipe.title)
        save(figure, folder / "noise.png")
    for task in recipe.tasks():
        path = folder / "runs" / task.name / "training.h5"
        if task.kind == "forces" and task.seed == recipe.seeds[0] and results.get(task.name) and path.exists():
            plot(path, "neurons", output=folder / f"neurons-{task.row + 1}.png", title=_name(recipe.rows[task.row]))
