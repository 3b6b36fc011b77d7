"""dynsim predict: say what is on your own images."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from dynsim._check import refusal
from dynsim._files import to_json

from ._computation import ComputingCommand
from ._networks import load_network
from ._progress_bars import ProgressBar
from ._standard_error import say

PART = 256  # images that are held as they come


@click.command(cls=ComputingCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--proba", is_flag=True, help="Print the probabilities of all classes.")
@click.option(
    "--invert",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Make dark light; auto: where the background is the opposite of that of the images trained on.",
)
@click.option("--centre", is_flag=True, help="Cut out what stands out and put it in the middle, as MNIST's digits are.")
@click.option("--show", type=click.Path(path_type=Path), help="Draw the images as the network sees them there.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(model, files, proba, invert, centre, show, as_json):
    """Print the class that MODEL (model.h5, an export or a converted network) gives each image, and its probability.

    FILES are pictures, folders of pictures, arrays (.npy) and tables (.csv, a row an image). Images get the network's
    size and channels. They keep their proportions: margins have the brightness of the border. Probabilities are the
    softmax of the scores; a network is often surer than it is right.

    \b
    dynsim predict out/model.h5 seven.png
    dynsim predict out/model.h5 my-digits/ --show seen.png
    dynsim predict out/model.h5 photograph-of-a-seven.jpg --centre
    dynsim predict out/model.h5 test.csv --json > answers.json
    """
    from dynsim import datasets

    if show is not None:
        from dynsim.plots import expect_format

        expect_format(show)
    network = load_network(model)
    if len(network.image) != 3:
        raise refusal(model, f"a network for inputs of shape {network.image}", "one for images")
    channels, *size = network.image
    names, seen, scores, inverted = [], [], [], []
    prepared = network.prepare("dense")
    with ProgressBar("image") as progress:
        for some, images in _parts(files, datasets.Shape(tuple(size), channels)):
            fitted, turned = datasets.fit_images(
                images, network.image, background=network.background, invert=invert, centre=centre
            )
            names, inverted = names + some, inverted + turned.tolist()
            scores.append(prepared.scores(fitted))
            seen += list(fitted) if show is not None else []
            progress(len(names))
    from scipy.special import softmax

    shares = softmax(np.concatenate(scores).astype(np.float64), axis=1)
    classes = network.class_names or tuple(map(str, range(shares.shape[1])))
    if any(inverted) and invert == "auto":
        say(f"{sum(inverted)} of {len(names)} images inverted: their background is not that of the images trained on "
            "(--invert no leaves them).")  # fmt: skip
    answers = [
        {"image": name, "class": classes[row.argmax()], "probability": round(float(row.max()), 6), "inverted": turned}
        | ({"probabilities": {c: round(float(p), 6) for c, p in zip(classes, row, strict=True)}} if proba else {})
        for name, row, turned in zip(names, shares, inverted, strict=True)
    ]
    if show is not None:
        from dynsim.plots import answers_figure, save

        titles = [f"{answer['class']} ({100 * answer['probability']:.0f} %)" for answer in answers]
        save(answers_figure(seen, titles, names=[Path(name).name for name in names]), show)
    if as_json:
        click.echo(to_json({"model": str(model), "predictions": answers}))
        return
    if proba:
        click.echo("\t".join(["image", "class", *classes]))
    for answer, row in zip(answers, shares, strict=True):
        numbers = [f"{share:.4f}" for share in row] if proba else [f"{answer['probability']:.4f}"]
        click.echo("\t".join([answer["image"], answer["class"], *numbers]))


def _parts(files, shape):
    """Names and images of all files, some at a time."""
    from dynsim import datasets

    names, images = [], []
    for file in files:
        for name, image in datasets.read_images(file, shape):
            names.append(name)
            images.append(image)
            if len(names) == PART:
                yield names, images
                names, images = [], []
    if names:
        yield names, images
