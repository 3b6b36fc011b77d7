"""dynsim demo: take a tour in under a minute: simulate, train, look."""

from __future__ import annotations

import html
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from dynsim._files import expect_output, making_folder, to_json, write_whole

from ._computation import ComputingCommand
from ._standard_error import say
from ._training_folder import FIGURES, expect_training_folder, train_into

# Sections of the tour: of every run or training its heading, what is said of it, its player, figures and captions.
RUNS = {
    "pulse": (
        "A pulse runs through six layers",
        "A pulse is given to the first of six layers of eight neurons, and reaches every next one a delay of 1 later. "
        "There are no weights: the distances between layers alone determine how strongly it arrives.",
        {
            "activity": "What every neuron emits over time; a row is a neuron.",
            "signals": "What the neurons of each layer receive and emit.",
        },
    ),
    "cluster": (
        "Sixty neurons gather",
        "The velocity of a neuron follows from its signal, which saturates, and the signal from its place and its "
        "neighbours. They gather in a few corners.",
        {
            "trajectories": "Paths, coloured by time.",
            "distances": "Distances of all pairs: the smallest go to zero within a cluster, while clusters move apart.",
        },
    ),
    "pair": (
        "Two neurons find an orbit",
        "They circle and push each other onto it.",
        {"phase": "A coordinate against its rate of change winds onto one loop."},
    ),
}
LEARNING = (
    "A network learns by moving",
    "Handwritten digits are shown to a network whose weights follow from the places of its neurons. The error becomes "
    "a force on every neuron, and the neurons move until they tell the digits apart.",
    {
        "trajectories": "Paths of the neurons over the epochs.",
        "observables": "Loss on the training images and accuracy on held-out ones, epoch by epoch.",
    },
)
CONFUSION = "Which of 360 digits that were not used in training the network takes for what."
NEXT = (
    ("dynsim simulate --preset pulse --set delay=0.5 --set run.until=5 -o half.h5", "the same pulse, faster"),
    ("dynsim simulate --preset echo -o echo.h5", "an echo gain above 1: why it diverges, in one sentence"),
    ("dynsim train mlp --data digits --hidden 64 --dim 8 --epochs 20 -o digits", "a larger network"),
    ("dynsim evaluate {folder}/training/model.h5 --data digits --delta 0.1", "accuracy with displaced neurons"),
    ("dynsim plot {folder}/training/training.h5 --kind neurons -o neurons.png", "neurons before and after learning"),
    ("dynsim animate {folder}/cluster.h5 -o cluster.mp4", "a film"),
)
LONGEST_WAIT = 120  # seconds for what is compiled beside


@click.command(cls=ComputingCommand)
@click.option("--output", "-o", type=click.Path(path_type=Path), default="dynsim-demo", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier tour.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(output, seed, overwrite, as_json):
    """Take the tour: simulate neurons, see them move, train a network without weights on handwritten digits.

    Everything runs offline: the digits are part of the package. Files of an earlier tour are replaced only with
    --overwrite.

    \b
    dynsim demo
    dynsim demo -o tour --seed 1
    """
    with making_folder(output):
        _expect_files(output, overwrite)
        with _compiling_beside() as compiled:
            _tour(output, seed, as_json, compiled)


@contextmanager
def _compiling_beside():
    """Compile the training's loops into the cache by a process beside; yields a function that waits for its end.

    Nothing depends on it: what it did not compile is compiled where it is needed.
    """
    import numba

    from dynsim._ranks import OFF
    from dynsim.kernels import TEMPORARY_CACHE

    if TEMPORARY_CACHE or numba.config.DISABLE_JIT or numba.config.NUMBA_NUM_THREADS < 2:
        yield lambda: None
        return
    # The modules of this process and no others, such as files of the current folder; and alone, whoever started us.
    line = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import compile_training; compile_training()"
    environment, nowhere = {**os.environ, OFF: "0"}, subprocess.DEVNULL
    command = [sys.executable, "-P", "-c", line]
    try:
        process = subprocess.Popen(command, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    except OSError:
        yield lambda: None
        return

    def wait():
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_WAIT)

    try:
        yield wait
    finally:
        process.kill()
        process.wait()


def compile_training():
    """Call everything that the tour's training calls."""
    from dynsim import learning

    learning.train(_network(0), _digits(), epochs=1, batch=64, seed=0)


def _expect_files(output, overwrite):
    """Refuse a folder in which a file of the tour is, before any is written."""
    files = [f"{name}.h5" for name in RUNS] + [f"{name}-{kind}.png" for name, run in RUNS.items() for kind in run[2]]
    pages = [_page_of(Path(f"{name}.h5")) for name in (*RUNS, "training/training")]
    with making_folder(output / "training"):
        for name in [*files, *pages, "training/model-confusion.png", "index.html"]:
            expect_output(output / name, overwrite)
        expect_training_folder(output / "training", overwrite=overwrite)


def _tour(output, seed, as_json, compiled):
    began = time.perf_counter()
    sections, runs = [], {}
    for name, (heading, text, kinds) in RUNS.items():
        say(f"simulating {name} ...")
        file = output / f"{name}.h5"
        runs[name] = _simulate(name, output, seed)
        figures = [(_draw(file, kind), caption) for kind, caption in kinds.items()]
        sections.append((heading, text, f"{name}.h5", _player(file).name, figures))
    say("training a network without weights on handwritten digits ...")
    compiled()
    report = _train(output / "training", seed)
    heading, text, kinds = LEARNING
    figures = [(f"training/{FIGURES[kind]}", caption) for kind, caption in kinds.items()]
    figures.append((f"training/{_draw(output / 'training' / 'model.h5', 'confusion', data='digits')}", CONFUSION))
    page = f"training/{_player(output / 'training' / 'training.h5').name}"
    sections.append((heading, text, "training/training.h5", page, figures))
    index = output / "index.html"
    write_whole(index, _page(output, sections, report, seed))
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(to_json({"output": str(output), "index": str(index), "runs": runs, **report, "seconds": seconds}))
        return
    accuracy, parameters = report["test_accuracy"], report["parameters"]
    click.echo(f"Done in {seconds:.0f} s. {accuracy:.1f} % of 360 digits not used in training, by places alone:")
    click.echo(f"{parameters['stored_floats']:,} stored numbers, seed {seed}.\n")
    click.echo(f"Look at   {index}   (open it in a browser)\n\nTry next")
    for line, why in NEXT:
        click.echo(f"  {line.format(folder=output)}\n      {why}")


def _simulate(name, output, seed):
    from dynsim.engine import configure
    from dynsim.engine.presets import preset_config
    from dynsim.trajectory import run

    ready = configure({**preset_config(name), "seed": seed})
    parameters = {"config": ready.config, "preset": name}
    path = output / f"{name}.h5"
    solution = run(
        ready.system, ready.span, path=path, parameters=parameters, overwrite=True, observables=ready.observables,
        **{**ready.options, "seed": seed},
    )  # fmt: skip
    if not solution.success:
        raise click.ClickException(f"preset {name}: {solution.message}")
    return solution.message


def _draw(path, kind, **options):
    from dynsim.plots import plot

    figure = path.with_name(f"{path.stem}-{kind}.png")
    plot(path, kind, output=figure, **options)
    return figure.name


def _page_of(file):
    return file.with_name(f"{file.stem}-player.html")


def _player(file):
    """Write the page that plays a file; returns its path."""
    from dynsim.plots import view

    page = _page_of(file)
    view(file, page, title=f"dynsim: {file.stem}")
    return page


def _train(folder, seed):
    return train_into(folder, _network(seed), _digits(), overwrite=True, epochs=20, batch=64, rate=0.02, seed=seed)


def _network(seed):
    from dynsim import models

    return models.mlp(widths=(64, 32, 10), copies=4, dim=4, seed=seed)


def _digits():
    from dynsim import datasets

    return datasets.load("digits")


def _page(output, sections, report, seed):
    """The index: of every run a page that plays it and figures with captions; numbers, and what to try."""
    shown = "\n".join(_section(*section) for section in sections)
    parameters = report["parameters"]
    rows = {
        "Test accuracy": f"{report['test_accuracy']:.2f} % of 360 digits not used in training",
        "Stored numbers": f"{parameters['stored_floats']:,}",
        "The paper's counts": f"memory {parameters['memory']:,}, disk {parameters['disk']:,}",
        "Model file": f"training/model.h5, {parameters['bytes']:,} bytes of arrays",
        "Seed": seed,
    }
    table = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    tries = "".join(
        f"<li><code>{html.escape(line.format(folder=output))}</code><br>{html.escape(why)}</li>" for line, why in NEXT
    )
    return PAGE.format(sections=shown, table=table, tries=tries)


def _section(heading, text, file, player, figures):
    shown = "\n".join(
        f'<figure><a href="{figure}"><img src="{figure}" alt="{html.escape(caption)}"></a>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for figure, caption in figures
    )
    return (
        f"<section><h2>{html.escape(heading)}</h2>\n<p>{html.escape(text)} <code>{file}</code></p>\n"
        f'<iframe src="{player}" loading="lazy" title="{html.escape(heading)}: player"></iframe>\n'
        f'<p class="hint">Press Play; drag to turn, click a neuron to see its signals. '
        f'<a href="{player}">In a window of its own</a></p>\n<div class="figures">{shown}</div></section>'
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>dynsim: a tour</title>
<style>
body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
h1 {{ font-size: 2rem; margin-bottom: .3rem; }} h2 {{ margin: 3rem 0 .3rem; }} p {{ max-width: 44rem; }}
iframe {{ width: 100%; height: 34rem; border: 1px solid #ddd; border-radius: 6px; }}
.hint {{ margin: .2rem 0 1rem; font-size: .9rem; color: #555; }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1.5rem; }}
figure {{ margin: 0; max-width: 40rem; }} img {{ width: 100%; border: 1px solid #ddd; border-radius: 6px; }}
figcaption {{ font-size: .9rem; color: #444; }}
th {{ text-align: left; padding-right: 1rem; font-weight: 600; }} code {{ background: #f3f3f3; padding: 0 .2em; }}
</style></head><body>
<h1>Neurons as particles</h1>
<p>Each neuron has a place and no weights: the influence of one on another follows from the distance between them. These
pictures were made just now on this machine; their data lie beside this page as HDF5 files.</p>
{sections}
<h2>The network that was trained</h2><table>{table}</table>
<h2>Try next</h2><ul>{tries}</ul>
</body></html>
"""
