"""Options of commands that read a data set, and how it is read for them."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dynsim._check import refusal

from ._progress_bars import ProgressBar
from ._standard_error import say

HELP = (
    "Data set: digits, mnist, fashion-mnist, kmnist, cifar10, or your own: a folder of pictures, a table, an .npz file."
)


def data_options(**given):
    """Add --data NAME and --data-dir; `given` changes the first, as required=True."""

    def add(command):
        folder = click.option(
            "--data-dir", type=click.Path(path_type=Path), help="Folder that is searched for data sets first."
        )
        return click.option("--data", "name", **{"help": HELP, **given})(folder(command))

    return add


class ImageSize(click.ParamType):
    """`28` or `28x20`, height and width in pixels, as (height, width)."""

    name = "HEIGHT[xWIDTH]"

    def convert(self, value, parameter, context):
        """(height, width)."""
        match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", str(value))
        if match is None:
            raise refusal("--image-size", repr(value), "pixels, as 28 or 28x20", error=click.UsageError)
        return int(match[1]), int(match[2] or match[1])


def shape_options(command):
    """Add --image-size and --grey."""
    for option in (
        click.option("--grey", is_flag=True, help="Convert images to grey."),
        click.option(
            "--image-size",
            "size",
            type=ImageSize(),
            help="Resize images to this size; proportions are kept by margins.",
        ),
    ):
        command = option(command)
    return command


def load_data(name, data_dir, *, size=None, grey=False):
    """The data set, with a bar; what was done to read it is printed."""
    from dynsim import datasets

    with ProgressBar("picture") as progress:
        data = datasets.load(name, data_dir, size=size, channels=1 if grey else None, progress=progress)
    for sentence in data.notes:
        say(sentence)
    return data


def load_data_for(network, name, data_dir):
    """The data set as a network takes it, with a bar; what was done to read it is printed."""
    from dynsim import models

    with ProgressBar("picture") as progress:
        data = models.load_data_for(network, name, data_dir, progress=progress)
    for sentence in data.notes:
        say(sentence)
    return data
