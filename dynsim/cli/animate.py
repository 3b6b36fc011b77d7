"""dynsim animate: make a film of a trajectory."""

import click

from dynsim._files import to_json

from ._figure_options import neuron_options, pixels
from ._progress_bars import ProgressBar
from ._standard_error import say


@click.command()
@click.argument("file", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="The film: .mp4 (needs ffmpeg) or .gif [beside FILE].")
@neuron_options
@click.option(
    "--colour", "--color", type=click.Choice(["group", "R", "E"]), help="Colour by group or by a signal; group."
)
@click.option("--component", type=click.IntRange(0), help="Component of the signal that colours; 0.")
@click.option("--frames", type=click.IntRange(1), help="Most pictures of the film; 600.")
@click.option("--stride", type=click.IntRange(1), help="Show every n-th frame, whatever its time.")
@click.option("--fps", type=click.IntRange(1, 120), default=30, show_default=True, help="Pictures a second.")
@click.option("--dim", type=click.IntRange(2, 3), help="In 2 or 3 dimensions.")
@click.option("--axes", type=click.Choice(["auto", "coordinates", "principal"]), help="Which axes; auto.")
@click.option("--title", help="Title of the film.")
@click.option("--size", callback=pixels, metavar="WIDTHxHEIGHT", help="Pixels of the film; 960x720.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(file, output, as_json, **options):
    """Make a film of the trajectory FILE, of a run or of a training.

    If the name of the output has no ending, the film is an MP4 where ffmpeg is installed and a GIF elsewhere. Time
    passes evenly: between frames at uneven times places are interpolated. Of a long run only some frames are shown, and
    the film says so. Memory does not grow with the length of the film; Ctrl-C leaves no incomplete file.

    \b
    Examples:
      dynsim animate run.h5 -o film.mp4
      dynsim animate run.h5 -o film.gif --frames 100 --size 480x360
      dynsim animate run.h5 -o motor.gif --group motor --colour E
      dynsim animate training.h5 -o training.mp4 --fps 5 --dim 2
    """
    from dynsim.plots import animate

    given = {name: value for name, value in options.items() if value is not None}
    with ProgressBar("frame") as bar:
        report = animate(file, output, progress=bar, **given)
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(report["output"])
    between = ", interpolated in time" if report["stride"] is None else ""
    every = f", every {report['stride']}." if (report["stride"] or 1) > 1 else ""
    frames = f"{report['frames']:,} frames{between}{every}"
    say(f"{frames}, {report['neurons']:,} neurons, by {report['encoder']}")
