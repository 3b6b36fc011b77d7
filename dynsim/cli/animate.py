"""dynsim animate: make a film of a trajectory."""

import click

from dynsim._files import to_json

from ._progress_bars import ProgressBar
from ._standard_error import say
from .plot import numbers, pixels


@click.command()
@click.argument("file", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="The film: .mp4 (needs ffmpeg) or .gif [beside FILE].")
@click.option("--neurons", callback=numbers, metavar="0,1,2", help="Neurons to show, counted from 0.")
@click.option("--frames", type=click.IntRange(1), help="Most frames of the film; 600.")
@click.option("--stride", type=click.IntRange(1), help="Show every n-th frame.")
@click.option("--fps", type=click.IntRange(1, 120), default=30, show_default=True, help="Frames a second.")
@click.option("--dim", type=click.IntRange(2, 3), help="In 2 or 3 dimensions.")
@click.option("--axes", type=click.Choice(["auto", "coordinates", "principal"]), help="Which axes; auto.")
@click.option("--title", help="Title of the film.")
@click.option("--size", callback=pixels, metavar="WIDTHxHEIGHT", help="Pixels of the film; 960x720.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(file, output, as_json, **options):
    """Make a film of the trajectory FILE, of a run or of a training.

    If the name of the output has no ending, the film is an MP4 where ffmpeg is installed and a GIF elsewhere. Of a long
    run only every n-th frame is shown, and the film says so. Memory does not grow with the length of the film; Ctrl-C
    leaves no incomplete file.

    \b
    Examples:
      dynsim animate run.h5 -o film.mp4
      dynsim animate run.h5 -o film.gif --frames 100 --size 480x360
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
    frames = f"{report['frames']:,} frames" + (f", every {report['stride']}." if report["stride"] > 1 else "")
    say(f"{frames}, {report['neurons']:,} neurons, by {report['encoder']}")
