"""dynsim data: list and download data sets."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._files import to_json

from ._progress_bars import ProgressBar


@click.group()
def command():
    """List data sets and download them.

    \b
    dynsim data list
    dynsim data fetch mnist
    """


@command.command("list")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Search this folder first.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def list_command(data_dir, as_json):
    """List which data sets are available, and where they are.

    \b
    dynsim data list --json
    """
    from dynsim.datasets import NAMES, find

    found = {name: find(name, data_dir) for name in NAMES}
    if as_json:
        click.echo(to_json({name: folder and str(folder) for name, folder in found.items()}))
        return
    for name, folder in found.items():
        where = "embedded" if name == "digits" else folder or f"not here; dynsim data fetch {name}"
        click.echo(f"{name:14} {where}")


@command.command("fetch")
@click.argument("name")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where to [$DYNSIM_DATA, data/ or the user's cache].")
@click.option("--mirror", "mirrors", multiple=True, help="Address to download from instead of the known ones.")
def fetch_command(name, data_dir, mirrors):
    """Download the data set NAME: mnist, fashion-mnist, kmnist or cifar10.

    Every file is checked against its checksum. If a mirror fails, the next one is tried.
    The archive of cifar10 is unpacked and removed.

    \b
    dynsim data fetch mnist
    dynsim data fetch kmnist --data-dir /tmp/data
    """
    from dynsim.datasets import fetch

    with ProgressBar("B") as bar:
        folder = fetch(name, data_dir, mirrors=mirrors or None, progress=bar)
    click.echo(folder)
