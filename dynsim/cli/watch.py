"""dynsim watch: follow a run or a training in progress."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from dynsim._check import as_count, as_instance, as_number, refusal
from dynsim._files import reason, to_json
from dynsim.errors import DataError

from ._computation import resume_command

_NAMES = {"received": "|R|", "emitted": "|E|", "speed": "|q'|", "echo_gain": "echo gain",
          "loss": "loss", "train_loss": "loss", "error": "error of the fit"}  # fmt: skip
_TEXTS = ("host", "message")
_NUMBERS = {*_NAMES, "start", "until", "t", "neurons", "frames", "seconds", "epochs", "epoch", "done", "total",
            "validation_accuracy", "status", "process"}  # fmt: skip
_LARGEST = 1e300  # a share of two of them is a number, too


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Print the present state of the run once.")
@click.option("--every", type=click.FloatRange(0.05), default=0.5, show_default=True, help="Seconds between readings.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(file, once, every, as_json):
    """Follow a run that writes FILE: show its time, progress, root mean squares of |R| and |q'|, and echo gain.

    If FILE is the folder of a training, the epoch, progress, loss and accuracy on held-out images are shown.

    dynsim simulate, resume and train write one line of JSON a second to FILE.progress (training.progress in a folder),
    which this command reads; it does not open the trajectory. Ctrl-C ends this command, not the run.

    \b
    Examples:
      dynsim simulate --preset cluster --until 200 -o run.h5 &
      dynsim watch run.h5
      dynsim watch run.h5 --once --json
      dynsim watch out    # the folder of a training
    """
    from dynsim.trajectory import Progress

    progress = Progress(file)
    show = _JsonLines() if as_json else _TextLines(sys.stdout.isatty() and not once)
    last = {}
    with show:
        while True:
            alive = progress.alive()  # asked before reading: what was written last is not missed
            entries = _new(progress)
            alive = alive or (progress.ended is None and progress.alive())
            last = entries[-1] if entries else last
            if once and progress.waiting():
                show.line({"file": str(file), "running": True})
                return
            if once:
                show.line(_report(file, progress, last, alive))
                return
            for entry in entries:
                show.line(_report(file, progress, entry, True))
            if not alive:
                show.line(_report(file, progress, last, False), final=True)
                return
            time.sleep(every)


def _new(progress):
    """New entries, of which what is shown is of the right type; raises DataError."""
    entries = progress.new()
    for entry in (progress.begun, progress.ended, *entries):
        try:
            for name, value in (entry or {}).items():
                if name in _TEXTS and value is not None:
                    as_instance(value, str, name)
                elif name in _NUMBERS and value is not None and abs(as_number(value, name)) > _LARGEST:
                    raise refusal(name, value, f"at most {_LARGEST:g}")
            if entry is progress.begun is not None:
                as_count(entry["process"], "process")
        except (TypeError, ValueError) as error:
            why = reason(error).rstrip(".")
            raise DataError(
                f"{progress.path} holds a line that is wrong ({why}); it is no progress of a run."
            ) from None
    return entries


def _report(file, progress, entry, alive):
    """The report at an entry, as one dictionary."""
    begun, ended = progress.begun or {}, progress.ended or {}
    report = {"file": str(file), "running": alive}
    report |= _of_training(begun, entry) if "epochs" in begun or file.is_dir() else _of_run(begun, entry)
    if not alive:
        report |= {"status": ended.get("status"), "message": ended.get("message") or _lost(file, begun)}
    return report


def _of_run(begun, entry):
    report = {"neurons": begun.get("neurons")}
    t, start, until = entry.get("t", begun.get("start")), begun.get("start"), begun.get("until")
    if None not in (t, start, until) and until > start:
        report["progress"] = round((t - start) / (until - start), 6)
    return report | {"t": t, "until": until, **{key: value for key, value in entry.items() if key != "t"}}


def _of_training(begun, entry):
    epochs = begun.get("epochs")  # none where it has not begun
    report = {"epochs": epochs}
    if None not in (entry.get("done"), entry.get("total")):
        report["progress"] = round(entry["done"] / max(1, entry["total"]), 6)
    elif epochs and entry.get("epoch") is not None and "validation_accuracy" in entry:
        report["progress"] = round(entry["epoch"] / max(1, epochs), 6)
    return report | entry | {"epochs": epochs}


def _lost(file, begun):
    if "epochs" in begun or file.is_dir():
        return "The training did not end properly, as after a kill; go on with the command that began it and --resume."
    return f"The run did not end properly, as after a kill; go on with: {resume_command(file)}"


class _JsonLines:
    """Prints every report as a line of JSON."""

    def line(self, report, final=False):
        click.echo(to_json(report))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class _TextLines:
    """Prints one line that is overwritten, on a terminal; elsewhere a line every time."""

    def __init__(self, over):
        self.over, self.open = over, False

    def line(self, report, final=False):
        if final or "message" in report:
            self._end()
            click.echo(_text(report))
            click.echo("".join(letter if letter.isprintable() else " " for letter in report["message"]))
        elif self.over:
            click.echo(f"\r\x1b[K{_text(report)}", nl=False)
            self.open = True
        else:
            click.echo(_text(report))

    def _end(self):
        if self.open:
            click.echo("\r\x1b[K", nl=False)
            self.open = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.open:  # Ctrl-C: what was last known stays on the screen
            click.echo()


def _text(report):
    """A report on one line.

    >>> _text({"t": 2.0, "until": 8.0, "progress": 0.25, "neurons": 48, "received": 1.5, "echo_gain": 0.0})
    't = 2 of 8   25.0 %   48 neurons   |R| 1.5   echo gain 0'
    """
    parts = []
    if report.get("epoch") is not None:
        parts.append(f"epoch {report['epoch']} of {report.get('epochs')}")
    if report.get("t") is not None and report.get("until") is not None:
        parts.append(f"t = {report['t']:.4g} of {report['until']:.4g}")
    if "progress" in report:
        parts.append(f"{100 * report['progress']:.1f} %")
    if report.get("neurons"):
        parts.append(f"{report['neurons']:,} neurons")
    if report.get("validation_accuracy") is not None:
        parts.append(f"held-out accuracy {report['validation_accuracy']:.2f} %")
    parts += [f"{name} {report[key]:.4g}" for key, name in _NAMES.items() if report.get(key) is not None]
    if report.get("frames") is not None:
        parts.append(f"{report['frames']:,} frames")
    if report.get("seconds") is not None:
        parts.append(f"{report['seconds']:.0f} s")
    return "   ".join(parts) or "not begun yet"
