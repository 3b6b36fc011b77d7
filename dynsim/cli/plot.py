"""`dynsim plot`: figures of trajectories."""

import click

# Listed here as well as in dynsim.plots, which would import more than --help should; a test compares them.
KINDS = ("trajectories", "signals", "distances", "phase", "observables")


def _whole_numbers(context, parameter, value):
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"got {value!r}, expected numbers such as 0,1,2") from None


def _size(context, parameter, value):
    if value is None:
        return None
    try:
        width, height = (int(part) for part in value.lower().split("x"))
    except ValueError:
        raise click.BadParameter(f"got {value!r}, expected width and height in pixels such as 1200x800") from None
    return width, height


@click.command(name="plot")
@click.argument("file", type=click.Path())
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What to draw.")
@click.option("-o", "--output", type=click.Path(), required=True, help="The figure: .png, .pdf or .svg.")
@click.option("--neurons", callback=_whole_numbers, metavar="0,1,2", help="Neurons to draw, counted from 0.")
@click.option("--dim", type=click.IntRange(2, 3), help="Paths in 2 or 3 dimensions (trajectories).")
@click.option("--signal", type=click.Choice(["R", "E", "both"]), help="Which signal (signals).")
@click.option("--quantity", type=click.Choice(["q", "R", "E"]), help="What against its derivative (phase).")
@click.option("--component", type=click.IntRange(0), help="Which coordinate or component (signals, phase).")
@click.option("--copy", type=click.IntRange(0), help="Which copy of the places (distances).")
@click.option("--names", metavar="NAME,NAME", help="Which observables (observables).")
@click.option("--against", type=click.Choice(["time", "step"]), help="Horizontal axis (observables).")
@click.option("--title", help="Title of the figure.")
@click.option("--size", callback=_size, metavar="WIDTHxHEIGHT", help="Pixels of the figure; 1200x800.")
def command(file, kind, output, names, **options):
    """Draw a figure of the trajectory FILE, of a run or of a training.

    \b
    Kinds:
      trajectories  paths in two or three dimensions, with start and end
      signals       received and emitted signals over time
      distances     distances of pairs over time
      phase         a coordinate or signal against its rate of change
      observables   loss, accuracy and what else was written with every frame

    \b
    Examples:
      dynsim plot run.h5 --kind trajectories -o paths.png
      dynsim plot run.h5 --kind signals --neurons 0,1,2 -o signals.pdf
      dynsim plot run.h5 --kind phase --quantity R -o phase.svg
      dynsim plot training.h5 --kind observables -o loss.png
    """
    from dynsim.plots import options_of, plot

    given = {name: value for name, value in options.items() if value is not None}
    if names is not None:
        given["names"] = [name.strip() for name in names.split(",")]
    for name in given:
        if name not in options_of(kind):
            raise click.UsageError(f"--{name} does not belong to --kind {kind}; see --help")
    plot(file, kind, output, **given)
    click.echo(output)
