"""dynsim plot: draw a trajectory, a model or a training."""

import click

from dynsim._check import refusal

from ._figure_options import neuron_options, pixels


class _PlotCommand(click.Command):
    """Lists the kinds of figures behind the options."""

    def format_options(self, context, formatter):
        """List the options, then the kinds."""
        from dynsim.plots import KINDS

        super().format_options(context, formatter)
        with formatter.section("Kinds"):
            formatter.write_dl(list(KINDS.items()))


def _known_kind(context, parameter, value):
    from dynsim.plots import KINDS

    if value is not None and value not in KINDS:
        raise refusal("--kind", repr(value), f"one of {', '.join(KINDS)}", error=click.UsageError)
    return value


def _complete_kind(context, parameter, incomplete):
    from dynsim.plots import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


@click.command(cls=_PlotCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option(
    "--kind", callback=_known_kind, shell_complete=_complete_kind, help="What to draw, of those below [the usual one]."
)
@click.option("-o", "--output", type=click.Path(), help="The figure: .png, .pdf or .svg [.png, beside FILE].")
@neuron_options
@click.option(
    "--dim", type=click.IntRange(2, 3), help="Number of dimensions drawn, 2 or 3 (trajectories, neurons, forces)."
)
@click.option(
    "--axes",
    type=click.Choice(["auto", "coordinates", "principal"]),
    help="Which axes of space; auto: principal ones above 3 dimensions (trajectories, neurons, forces).",
)
@click.option("--signal", type=click.Choice(["R", "E", "both"]), help="Which signal (signals, activity).")
@click.option("--quantity", type=click.Choice(["q", "R", "E"]), help="Quantity drawn against its derivative (phase).")
@click.option("--component", type=click.IntRange(0), help="Which coordinate or component (signals, activity, phase).")
@click.option("--order", type=click.Choice(["group", "peak", "number"]), help="How neurons are sorted (activity).")
@click.option(
    "--scale",
    type=click.Choice(["auto", "linear", "log"]),
    help="Vertical axis; auto: logarithmic where values span decades (curves over time).",
)
@click.option("--copy", type=click.IntRange(0), help="Which copy of the places (distances, entropy).")
@click.option("--bins", type=click.IntRange(2), help="Bins of the distances (entropy).")
@click.option("--frame", type=int, help="Which frame, -1 for the last (forces).")
@click.option("--names", metavar="NAME,NAME", help="Which observables (observables).")
@click.option("--against", type=click.Choice(["time", "step"]), help="Horizontal axis (observables).")
@click.option("--layer", help="Which layer, as conv2 or its number (weights, filters).")
@click.option("--data", help="Data set, a name or your own (forces of a model, confusion, misread).")
@click.option("--data-dir", type=click.Path(), help="Folder that is searched for data sets first.")
@click.option("--count", type=click.IntRange(1), help="How many images (misread).")
@click.option("--title", help="Title of the figure.")
@click.option("--size", callback=pixels, metavar="WIDTHxHEIGHT", help="Pixels of the figure; 1200x800.")
def command(files, kind, output, names, **options):
    """Draw FILE: a trajectory of a run or a training, a model, metrics.jsonl, or lines of evaluate --json.

    Several files are drawn into one figure, a colour each: signals, energy, distances, entropy, observables, learning.

    \b
    Examples:
      dynsim plot run.h5
      dynsim plot run.h5 --kind signals --group motor --neurons 25-29 -o signals.pdf
      dynsim plot run.h5 --kind activity --order peak -o activity.png
      dynsim plot weak.h5 strong.h5 --kind energy -o both.png
      dynsim plot run.h5 --kind phase --quantity R -o phase.svg
      dynsim plot out/training.h5 --kind neurons -o neurons.png
      dynsim plot out/model.h5 --kind filters -o filters.png
      dynsim plot out/model.h5 --kind confusion --data digits -o confusion.png
      dynsim plot out/metrics.jsonl --kind learning -o learning.png
    """
    from dynsim.plots import beside, options_of, plot, usual_kind

    kind = usual_kind(list(files)) if kind is None else kind
    if output is None:
        output = beside(files[0], f".{kind}.png")
    given = {name: value for name, value in options.items() if value is not None}
    if names is not None:
        given["names"] = [name.strip() for name in names.split(",")]
    for name in given:
        if name not in options_of(kind, several=len(files) > 1):
            option, known = f"--{name.replace('_', '-')}", ", ".join(options_of(kind, several=len(files) > 1))
            raise refusal(option, f"it with --kind {kind}", f"options of that kind ({known})", error=click.UsageError)
    plot(list(files), kind, output=output, **given)
    click.echo(output)
