"""Groups of neurons in figures, films and pages: their names, and the neurons of those that are asked for."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice, describe, refusal

from ._figure_style import MARKS, colours, evenly, line, rest_entry


def group_names(trajectory):
    """{group: name} of a trajectory's groups: as its configuration has them, else "group k"."""
    numbers = np.unique(trajectory.groups).tolist()
    given = trajectory.parameters.get("group_names")
    config = trajectory.parameters.get("config")
    if given is None and isinstance(config, dict) and isinstance(config.get("groups"), list):
        given = [group.get("name") if isinstance(group, dict) else None for group in config["groups"]]
    given = given if isinstance(given, list) else []
    named = {k: str(given[k]) for k in numbers if 0 <= k < len(given) and given[k]}
    return {k: named.get(k, f"group {k}") for k in numbers}


def grouped_neurons(trajectory, groups):
    """Indices of the neurons of groups, given by name or number; all neurons where `groups` is None.

    Raises ValueError for a group that the trajectory does not have, TypeError for what is no name or number.
    """
    if groups is None:
        return np.arange(trajectory.neurons)
    wanted = [groups] if isinstance(groups, str | int | np.integer) else groups
    if not isinstance(wanted, list | tuple | np.ndarray) or not len(wanted):
        raise refusal("groups", describe(groups), "names or numbers of groups", error=TypeError)
    names, numbers = group_names(trajectory), set()
    for one in wanted:
        if not isinstance(one, str | int | np.integer) or isinstance(one, bool):
            raise refusal("groups", describe(one), "the name or the number of a group", error=TypeError)
        # A name comes first where it is a text, a number where it is one.
        by_name = [k for k, name in names.items() if name == str(one)]
        by_number = [k for k in names if str(k) == str(one)]
        found = (by_name or by_number) if isinstance(one, str) else (by_number or by_name)
        if not found:
            as_choice(str(one), list(names.values()), "groups")
        numbers.update(found)
    return np.flatnonzero(np.isin(trajectory.groups[: trajectory.neurons], list(numbers)))


def shown_groups(trajectory, neurons):
    """Numbers of the groups that some neurons are in, in order."""
    return np.unique(trajectory.groups[: trajectory.neurons][neurons]).tolist()


def group_colours(trajectory):
    """{group: colour}, the same in all figures, films and pages of a trajectory, whatever part of it they show."""
    names = group_names(trajectory)
    return dict(zip(names, colours(len(names)), strict=True))


def group_marks(trajectory):
    """{group: mark}: beside their colours groups have shapes."""
    return {group: MARKS[k % len(MARKS)] for k, group in enumerate(group_names(trajectory))}


def group_entries(trajectory, groups, most, **style):
    """Entries of a legend for some groups: a mark in the group's colour, at most `most` of them, and how many more."""
    names, palette, marks = group_names(trajectory), group_colours(trajectory), group_marks(trajectory)
    named = [groups[k] for k in evenly(len(groups), most)]
    style = {"linestyle": "none", **style}
    entries = [line(names[k], color=palette[k], **{"marker": marks[k], **style}) for k in named]
    return entries + rest_entry(len(groups), len(named))
