"""dynsim plot: draw a trajectory, a model or a training."""

import click

from dynsim._check import refusal


def numbers(context, parameter, value):
    """Whole numbers between commas."""
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise refusal(parameter.opts[-1], repr(value), "numbers such as 0,1,2", error=click.UsageError) from None


def pixels(context, parameter, value):
    """Width and height."""
    if value is None:
        return None
    try:
        width, height = (int(part) for part in value.lower().split("x"))
    except ValueError:
        wanted = "width and height in pixels such as 1200x800"
        raise refusal(parameter.opts[-1], repr(value), wanted, error=click.UsageError) from None
    return width, height


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

    if value not in KINDS:
        raise refusal("--kind", repr(value), f"one of {', '.join(KINDS)}", error=click.UsageError)
    return value


def _complete_kind(context, parameter, incomplete):
    from dynsim.plots import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


@click.command(cls=_PlotCommand)
@click.argument("file", type=click.Path())
@click.option(
    "--kind", callback=_known_kind, shell_complete=_complete_kind, required=True, help="What to draw, of those below."
)
@click.option("-o", "--output", type=click.Path(), required=True, help="The figure: .png, .pdf or .svg.")
@click.option("--neurons", callback=numbers, metavar="0,1,2", help="Neurons to draw, counted from 0.")
@click.option(
    "--dim", type=click.IntRange(2, 3), help="Number of dimensions drawn, 2 or 3 (trajectories, neurons, forces)."
)
@click.option(
    "--axes",
    type=click.Choice(["auto", "coordinates", "principal"]),
    help="Which axes of space; auto: principal ones above 3 dimensions (trajectories, neurons, forces).",
)
@click.option("--signal", type=click.Choice(["R", "E", "both"]), help="Which signal (signals).")
@click.option("--quantity", type=click.Choice(["q", "R", "E"]), help="Quantity drawn against its derivative (phase).")
@click.option("--component", type=click.IntRange(0), help="Which coordinate or component (signals, phase).")
@click.option("--copy", type=click.IntRange(0), help="Which copy of the places (distances, entropy).")
@click.option("--bins", type=click.IntRange(2), help="Bins of the distances (entropy).")
@click.option("--frame", type=int, help="Which frame, -1 for the last (forces).")
@click.option("--names", metavar="NAME,NAME", help="Which observables (observables).")
@click.option("--against", type=click.Choice(["time", "step"]), help="Horizontal axis (observables).")
@click.option("--layer", type=click.IntRange(0), help="Which layer (weights).")
@click.option("--data", help="Data set whose loss drives the neurons (forces of a model).")
@click.option("--data-dir", type=click.Path(), help="Folder that is searched for data sets first (forces of a model).")
@click.option("--title", help="Title of the figure.")
@click.option("--size", callback=pixels, metavar="WIDTHxHEIGHT", help="Pixels of the figure; 1200x800.")
def command(file, kind, output, names, **options):
    """Draw FILE: a trajectory of a run or a training, a model, metrics.jsonl, or lines of evaluate --json.

    \b
    Examples:
      dynsim plot run.h5 --kind trajectories -o paths.png
      dynsim plot run.h5 --kind signals --neurons 0,1,2 -o signals.pdf
      dynsim plot run.h5 --kind phase --quantity R -o phase.svg
      dynsim plot out/training.h5 --kind neurons -o neurons.png
      dynsim plot out/model.h5 --kind weights -o weights.png
      dynsim plot out/model.h5 --kind forces --data digits -o forces.png
      dynsim plot out/metrics.jsonl --kind learning -o learning.png
    """
    from dynsim.plots import options_of, plot

    given = {name: value for name, value in options.items() if value is not None}
    if names is not None:
        given["names"] = [name.strip() for name in names.split(",")]
    for name in given:
        if name not in options_of(kind):
            option, known = f"--{name.replace('_', '-')}", ", ".join(options_of(kind))
            raise refusal(option, f"it with --kind {kind}", f"options of that kind ({known})", error=click.UsageError)
    plot(file, kind, output=output, **given)
    click.echo(output)
