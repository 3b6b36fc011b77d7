"""dynsim view: write a page that plays a trajectory in a browser."""

from pathlib import Path

import click

from dynsim._files import expect_input, to_json

from ._figure_options import neuron_options
from ._standard_error import say


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page: .html [beside FILE].")
@neuron_options
@click.option("--frames", type=click.IntRange(1), help="Most frames of the page [as many as its size allows].")
@click.option("--component", type=click.IntRange(0), default=0, show_default=True, help="Component of R and E.")
@click.option("--axes", type=click.Choice(["auto", "coordinates", "principal"]), help="Which axes; auto.")
@click.option("--title", help="Title of the page.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(file, output, as_json, **options):
    """Write the trajectory FILE as one HTML page that plays it in a browser, offline.

    Drag to rotate, click a neuron to see its signals and its path, press ? for the keys. The page is at most 20 MB:
    numbers are rounded, and of a long run only every n-th frame is kept, as the page says.

    \b
    Examples:
      dynsim view run.h5 -o run.html
      dynsim view run.h5 -o motor.html --group motor
      dynsim view training.h5 -o training.html --frames 100
    """
    from dynsim.plots import view

    expect_input(file)
    report = view(file, output, **{name: value for name, value in options.items() if value is not None})
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(report["output"])
    frames = f"{report['frames']:,} frames" + (
        f", every {report['frame_stride']}." if report["frame_stride"] > 1 else ""
    )
    say(f"{frames}, {report['neurons']:,} neurons, {report['bytes'] / 1e6:.1f} MB; open it in a browser")
