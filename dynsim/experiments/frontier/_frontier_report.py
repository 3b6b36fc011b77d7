"""The tables and figures of a comparison of families of networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim._files import write_json, write_whole
from dynsim.plots import compare, save

from .._teacher_task import teacher_in_words
from ._frontier_cells import LIMITS, best_of, cells_of, differences, envelope, files_of, setting_of, trials_of, within
from ._frontier_task import RETRAINED

PACKED = (
    "Among the packed files of at most so many bytes the one that is best on images that the training held out; below, "
    "all files. Accuracies are means over the seeds, of whose files the largest counts."
)

ACCURACIES = {"test": "test accuracy", "held-out": "held-out accuracy"}


def report(recipe, results, folder):
    """Write report.md, report.json and figures into a folder from what is finished; returns the Markdown."""
    folder = Path(folder)
    cells, trials = cells_of(recipe, results), trials_of(recipe, results)
    found, files = differences(recipe, cells), files_of(cells)
    lines = [
        *_head(recipe),
        *_teacher(recipe, results),
        *_numbers(recipe, cells),
        *_differences(recipe, found),
        *_bytes(recipe, files),
    ]
    lines += [*_search(recipe, trials, cells), *_published(recipe)]
    text = "\n".join(lines) + "\n"
    write_whole(folder / "report.md", text)
    whole = {"title": recipe.title, "data": recipe.data, **recipe.settings, "cells": cells, "differences": found}
    whole |= {"files": files, "trials": trials, "published": recipe.published}
    write_json(folder / "report.json", whole, indent=1)
    _figures(recipe, cells, files, folder)
    return text


def _head(recipe):
    trial, final = recipe.settings["trial"], recipe.settings["final"]
    count = len(next(iter(recipe.families.values()))["grid"])
    yield f"# {recipe.title}"
    yield ""
    yield f"Data: {recipe.data}. Seeds: {', '.join(map(str, recipe.seeds))}."
    yield ""
    searched = (
        f"For every budget of numbers each family had {count} trials of {trial['epochs']} "
        f"epoch{'s' * (trial['epochs'] > 1)}, judged on a tenth of the training images on which no trial was trained. "
        "The best setting"
    )
    judged = "the test images were read after that"
    if recipe.judge == "held-out":
        images = f"{recipe.searched['images']:,}" if recipe.searched["images"] else "the others"
        judged = f"it learned from {images} of the training images and was judged on a tenth of them, held out"
        judged += " and the same that chose the setting" if count > 1 else ""
        judged += "; the test images were not read"
    yield (
        f"{searched if count > 1 else 'The only setting of each family'} was trained for {final['epochs']} "
        f"epoch{'s' * (final['epochs'] > 1)} with every seed; {judged}. Every network is the widest within the budget. "
        "Numbers are those that inference needs: of norms a factor and an offset a channel, of pruned networks the "
        "weights that are left, without their positions."
    )


def _teacher(recipe, results):
    everywhere = recipe.training.get("distillation")
    where = "Networks whose setting says distillation"
    if everywhere is not None:
        where = f"All networks ({setting_of(everywhere)})"
    return teacher_in_words(recipe.tasks(), results, where)


def _spread(found, wanted=None):
    text = f"{found['mean']:.2f}" + (f" ± {found['deviation']:.2f}" if found["deviation"] is not None else "")
    count = len(found["accuracies"])
    return text if wanted in (None, count) else f"{text} ({count} of {wanted} seeds)"


def _numbers(recipe, cells):
    yield from ("", "## Equal numbers", "")
    yield (
        f"{ACCURACIES[recipe.judge].capitalize()} in percent, mean ± deviation over the seeds; the best mean of each "
        "budget is bold. MACs are multiply-accumulates with the weights for one image, in thousands, as if none were 0."
    )
    yield ""
    yield "| budget | family | numbers | accuracy | seeds | setting | kMACs | seconds per epoch |"
    yield "|" + "---|" * 8
    for budget in recipe.budgets:
        some = {cell["family"]: cell for cell in cells if cell["budget"] == budget}
        best = best_of(some.values())
        for name in recipe.families:
            cell, start = some.get(name), f"| {budget:,} | {recipe.title_of(name)} |"
            if cell is None or not cell["fits"]:
                yield f"{start} | {'not run' if cell is None else 'does not fit'} | | | | |"
                continue
            accuracy = f"**{_spread(cell)}**" if cell is best else _spread(cell)
            seeds = f"{len(cell['seeds'])}" + (f" of {cell['wanted']}" if len(cell["seeds"]) < cell["wanted"] else "")
            costs = f"{cell['operations'] / 1000:,.0f} | {np.mean(cell['seconds']):.3g}"
            yield f"{start} {cell['numbers']:,} | {accuracy} | {seeds} | {cell['setting']} | {costs} |"


def _differences(recipe, found):
    if not found:
        return
    ours = "Families of particles minus others" if recipe.against is None else "Differences from one family"
    yield from ("", f"{ours}, {ACCURACIES[recipe.judge]}:", "")
    yield from ("| budget | family | minus | difference ± its standard error |", "|---|---|---|---|")
    for row in found:
        error = "" if row["error"] is None else f" ± {row['error']:.2f}"
        names = f"{recipe.title_of(row['family'])} | {recipe.title_of(row['other'])}"
        yield f"| {row['budget']:,} | {names} | {row['difference']:+.2f}{error} |"


def _bytes(recipe, files):
    if not recipe.bits:
        return
    yield from ("", "## Equal bytes", "", _packing(recipe), "", PACKED, "")
    yield "| family | " + " | ".join(f"{limit // 1024} KiB" for limit in LIMITS) + " |"
    yield "|" + "---|" * (1 + len(LIMITS))
    best = {limit: _best([within(files, name, limit) for name in recipe.families]) for limit in LIMITS}
    for name in recipe.families:
        entries = []
        for limit in LIMITS:
            file = within(files, name, limit)
            text = "" if file is None else f"{_spread(file, file['wanted'])}, {file['budget']:,} at {file['bits']} bits"
            entries.append(f"**{text}**" if file is not None and file is best[limit] else text)
        yield f"| {recipe.title_of(name)} | {' | '.join(entries)} |"
    yield from ("", "| family | budget | bits | bytes | accuracy |", "|" + "---|" * 5)
    for name in recipe.families:
        for file in (file for file in files if file["family"] == name):
            start = f"| {recipe.title_of(name)} | {file['budget']:,} | {file['bits']} | {file['bytes']:,} |"
            yield f"{start} {_spread(file, file['wanted'])} |"


def _best(files):
    return max(filter(None, files), key=lambda file: file["mean"], default=None)


def _packing(recipe):
    text = "The trained networks were rounded to so many bits a number"
    if recipe.retrain_bits:
        epochs, share = recipe.retrain_bits["epochs"], recipe.retrain_bits["share"]
        text += f"; for up to {RETRAINED} bits they were trained on before for {epochs} epoch{'s' * (epochs > 1)} "
        text += f"at {share:g} of their rate, with their numbers on a grid"
    return f"{text}. The accuracy is that of the file, read back."


def _search(recipe, trials, cells):
    if not trials:
        return
    yield from ("", "## Search", "")
    text = "Accuracy of every trial on the held-out training images; bold: the setting that was chosen."
    yield text + "".join(_left(recipe, trials))
    yield from ("", "| family | setting | " + " | ".join(f"{budget:,}" for budget in recipe.budgets) + " |")
    yield "|" + "---|" * (2 + len(recipe.budgets))
    chosen = {(cell["family"], cell["budget"]): cell.get("chosen") for cell in cells}
    for name, family in recipe.families.items():
        for number in range(len(family["grid"])):
            some = {t["budget"]: t for t in trials if (t["family"], t["number"]) == (name, number)}
            entries = []
            for budget in recipe.budgets:
                trial = some.get(budget)
                text = "not run" if trial is None else _outcome(trial)
                entries.append(f"**{text}**" if chosen.get((name, budget)) == number else text)
            setting = setting_of(family["grid"][number])
            yield f"| {recipe.title_of(name)} | {setting} | {' | '.join(entries)} |"


def _outcome(trial):
    if trial["accuracy"] is not None:
        return f"{trial['accuracy']:.2f}"
    return "diverges" if "diverged" in trial else "does not fit"


def _left(recipe, trials):
    """Sentences that say where a family had fewer settings to choose from."""
    count = len(next(iter(recipe.families.values()))["grid"])
    for budget in recipe.budgets:
        for name in recipe.families:
            some = [t["accuracy"] for t in trials if (t["family"], t["budget"]) == (name, budget)]
            if len(some) == count and None in some:
                left, title = count - some.count(None), recipe.title_of(name)
                yield f" With {budget:,} numbers {left} of the {count} settings of {title} came to a result."


def _published(recipe):
    if not recipe.published:
        return
    yield from ("", "## Published", "", "| network | numbers | bytes | accuracy | source |", "|" + "---|" * 5)
    for point in recipe.published:
        numbers, size = (f"{point[key]:,}" if key in point else "" for key in ("numbers", "bytes"))
        yield f"| {point['name']} | {numbers} | {size} | {point['accuracy']:g} | {point.get('source', '')} |"


def _figures(recipe, cells, files, folder):
    kinds = (
        ("numbers", "numbers that inference needs", [cell for cell in cells if cell["fits"]]),
        ("bytes", "bytes of the packed file", files),
    )
    for key, label, some in kinds:
        series = {}
        for name in recipe.families:
            own = [point for point in some if point["family"] == name]
            own = envelope(own) if key == "bytes" else own
            points = [(point[key], 100 - point["mean"], point["deviation"] or 0.0) for point in own]
            if points:
                series[recipe.title_of(name)] = points
        if series:
            published = {p["name"]: [(p[key], 100 - p["accuracy"])] for p in recipe.published if key in p}
            errors = [point[1] for points in [*series.values(), *published.values()] for point in points]
            options = {"logarithmic": True, "logarithmic_y": min(errors) > 0, "lines": True, "title": recipe.title}
            judged = ACCURACIES[recipe.judge].replace("accuracy", "error")
            save(
                compare(series, x=label, y=f"{judged}, %", beside=published, **options), folder / f"accuracy-{key}.png"
            )
