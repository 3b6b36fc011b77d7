"""A preset by its name, of the engine or with data."""

from __future__ import annotations


def preset_of(name):
    """The configuration of a preset; what only `digits` needs is loaded for names that the engine does not know."""
    from dynsim.engine import presets

    if name in presets.PRESETS:
        return presets.preset_config(name)
    from dynsim.learning import preset_config

    return preset_config(name)
