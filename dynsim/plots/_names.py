"""What groups of neurons are called."""

import numpy as np


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
