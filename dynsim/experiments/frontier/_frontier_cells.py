"""What the results of a comparison come to: means over seeds, differences, and what fits into so many bytes."""

from __future__ import annotations

from itertools import product

import numpy as np

LIMITS = tuple(1024 * 2**k for k in range(5))  # bytes of packed files, 1 to 16 KiB


def moments(accuracies):
    """Mean, deviation and standard error over seeds as a dict; the latter two are None for a single seed.

    >>> moments([98.0, 99.0])["deviation"].__round__(3)
    0.707
    """
    several = len(accuracies) > 1
    deviation = float(np.std(accuracies, ddof=1)) if several else None
    error = deviation / len(accuracies) ** 0.5 if several else None
    return {"mean": float(np.mean(accuracies)), "deviation": deviation, "error": error}


def cells_of(recipe, results):
    """A dict for every budget and family of which a final training is finished, in this order."""
    cells = {}
    for task in recipe.tasks():
        result = results.get(task.name)
        if task.kind != "final" or result is None:
            continue
        cell = cells.setdefault(
            (task.budget, task.family),
            {"budget": task.budget, "family": task.family, "wanted": len(recipe.seeds), "seeds": [], "accuracies": []},
        )
        cell["fits"] = result["numbers"] is not None
        if not cell["fits"]:
            continue
        cell["seeds"].append(task.seed)
        cell["accuracies"].append(result["accuracy"])
        cell.setdefault("seconds", []).append(result["seconds_per_epoch"])
        cell.update(moments(cell["accuracies"]))
        cell.update({key: result[key] for key in ("numbers", "operations", "width", "chosen", "parameters")})
        cell["setting"] = setting_of(task.grid[result["chosen"]])
        for bits, found in result["packed"].items():
            packed = cell.setdefault("packed", {}).setdefault(bits, {"bytes": 0, "accuracies": [], "held_out": []})
            packed["bytes"] = max(packed["bytes"], found["bytes"])  # of the seeds' files the largest
            packed["accuracies"].append(found["accuracy"])
            packed["held_out"].append(found["validation_accuracy"])
            packed.update(moments(packed["accuracies"]), judged=float(np.mean(packed["held_out"])))
    return list(cells.values())


def setting_of(choice):
    """A trial in words.

    >>> setting_of({"rate": 0.1, "rates": {"strengths": 0.3, "weights": 0.3}, "options": {"dim": 6}})
    'rate 0.1, rates 0.3, dim 6'
    """
    flat = {key: value for key, value in choice.items() if key != "options"} | choice.get("options", {})
    if "distillation" in flat:  # the network that is learnt from is the same for all
        flat["distillation"] = {key: value for key, value in flat["distillation"].items() if key != "teacher"}
    return ", ".join(f"{key} {_in_words(value)}" for key, value in flat.items()) or "default"


def _in_words(value):
    """A table by its values, if these say enough: one for all of them, or each with its key."""
    if not isinstance(value, dict):
        return value
    found = list(dict.fromkeys(map(str, value.values())))
    return found[0] if len(found) == 1 else " ".join(f"{key} {item}" for key, item in value.items())


def best_of(cells):
    """The cell of the highest mean, or None."""
    return max((cell for cell in cells if cell["fits"]), key=lambda cell: cell["mean"], default=None)


def differences(recipe, cells):
    """Every family of particles minus every other one, budget by budget, with the standard error of the difference.

    Where the recipe names a family `against` which the others are compared, every other one minus that.
    """
    found = []
    for budget in recipe.budgets:
        some = [cell for cell in cells if cell["budget"] == budget and cell["fits"]]
        if recipe.against is None:
            sides = [[c for c in some if recipe.is_particles(c["family"]) == side] for side in (True, False)]
        else:
            sides = [[c for c in some if (c["family"] == recipe.against) == side] for side in (False, True)]
        for ours, theirs in product(*sides):
            known = ours["error"] is not None and theirs["error"] is not None
            found.append(
                {
                    "budget": budget,
                    "family": ours["family"],
                    "other": theirs["family"],
                    "difference": ours["mean"] - theirs["mean"],
                    "error": (ours["error"] ** 2 + theirs["error"] ** 2) ** 0.5 if known else None,
                }
            )
    return found


def files_of(cells):
    """A dict for every packed file: family, budget, bits, bytes, moments of its accuracy over seeds."""
    return [
        {**{key: cell[key] for key in ("family", "budget", "numbers", "wanted")}, "bits": int(bits), **packed}
        for cell in cells
        if cell["fits"]
        for bits, packed in cell.get("packed", {}).items()
    ]


def within(files, family, limit):
    """The file of a family that is best on held-out images among those of at most `limit` bytes, or None."""
    fitting = [file for file in files if file["family"] == family and file["bytes"] <= limit]
    return max(fitting, key=lambda file: file["judged"], default=None)


def envelope(files):
    """Files in the order of their bytes, without those that are no better, on held-out images, than a smaller one."""
    found = []
    for file in sorted(files, key=lambda file: (file["bytes"], -file["judged"])):
        if not found or file["judged"] > found[-1]["judged"]:
            found.append(file)
    return found


def trials_of(recipe, results):
    """A dict for every finished trial: family, budget, number, setting, held-out accuracy.

    The accuracy is None if no network fits, or if the training diverged, of which `diverged` has the words.
    """
    return [
        {
            "family": task.family,
            "budget": task.budget,
            "number": task.number,
            "setting": setting_of(task.choice),
            **{key: result[key] for key in ("accuracy", "numbers", "width", "seconds_per_epoch")},
            **{key: result[key] for key in ("diverged",) if key in result},
        }
        for task in recipe.tasks()
        if task.kind == "trial" and (result := results.get(task.name)) is not None
    ]
