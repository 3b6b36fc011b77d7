"""What the package says it needs, and what is installed."""

from __future__ import annotations

import configparser
from importlib import metadata
from pathlib import Path


def requirements():
    """{extra, "" for what is always needed: [Requirement]}.

    As the installed package says, or its setup.cfg where it runs from its source tree.
    """
    from packaging.requirements import Requirement

    try:
        extras = metadata.metadata("dynsim").get_all("Provides-Extra") or []
        given = [Requirement(line) for line in metadata.requires("dynsim") or []]
    except metadata.PackageNotFoundError:
        config = configparser.ConfigParser()
        config.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
        groups = {"": config["options"]["install_requires"], **config["options.extras_require"]}
        return {name: [Requirement(line) for line in text.split("\n") if line.strip()] for name, text in groups.items()}
    found = {"": [r for r in given if r.marker is None or r.marker.evaluate({"extra": ""})]}
    for extra in extras:
        found[extra] = [r for r in given if r not in found[""] and r.marker.evaluate({"extra": extra})]
    return found


def installed(name):
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
