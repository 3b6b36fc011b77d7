"""Figures look as they did: grey and small, compared with stored pictures.

To make these anew after a change that was meant and looked at: DYNSIM_BASELINE=write pytest tests/plots/test_images.py
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import dynsim
from dynsim.engine import Lyapunov
from dynsim.plots import KINDS, plot
from dynsim.trajectory import TrajectoryWriter
from dynsim.trajectory._stored_system import describe_system

BASELINE = Path(__file__).parent / "baseline"
SIZE = (60, 40)  # blocks of 20 x 20 points of the 1200 x 800 drawn
# Another release of a font or of the rasteriser moves edges of letters and lines by up to a point. A line of two points
# that leaves a block of 20 changes its grey by a tenth of 255 at most, two such lines by a fifth; text, half black over
# a third of a block and moved by a point in twenty, by a hundredth. Few lines run within a point of a block's edge, one
# in ten if they lie anywhere, and lines cross at most a tenth of all blocks. So: no block may differ by more than a
# fifth, and not more than one in a hundred by a twentieth. A curve that is gone changes all the blocks that it crossed.
LARGEST, SMALL, SHARE = 51, 13, 1 / 100


def small_grey(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L")
    return np.asarray(picture.resize(SIZE, Image.Resampling.BOX))


def alike(picture, baseline):
    difference = np.abs(picture.astype(int) - baseline)
    return difference.max() <= LARGEST and np.mean(difference > SMALL) <= SHARE


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A trajectory of closed form, a model and lines: the same on every machine, whatever its libraries."""
    folder = tmp_path_factory.mktemp("sources")
    angle = 2 * np.pi * np.arange(12) / 12
    turn = np.zeros((12, 4, 4))
    turn[:, 1, 0] = 0.3 * (1 + np.arange(12) / 12)
    turn[:, 0, 1], turn[:, 2, 2] = -turn[:, 1, 0], -1.0
    turning = dynsim.System(np.zeros((12, 4)), operators=dynsim.Operators(F=turn), groups=np.arange(12) // 4)
    with TrajectoryWriter(
        folder / "run.h5",
        neurons=12,
        dimension=4,
        signals=1,
        groups=np.arange(12) // 4,
        observables=["loss", "accuracy"],
        provenance={"system": describe_system(turning)},
    ) as writer:
        for k in range(41):
            t = 0.1 * k
            turned = angle + 0.3 * t * (1 + np.arange(12) / 12)
            q = np.column_stack([np.cos(turned), np.sin(turned), 0.4 * np.cos(3 * angle) * np.exp(-t), 0.1 * angle])
            R = np.sin(t + angle)
            writer.write(k, t, q, R, np.tanh(2 * R), loss=np.exp(-t), accuracy=100 * (1 - np.exp(-t)))
    model = dynsim.models.mlp(widths=(64, 8, 10), copies=1, dim=4)
    for number, parameter in enumerate(model.parameters.values()):
        ramp = np.sin(1.7 * np.arange(parameter.value.size) + number)
        parameter.value[...] = ramp.reshape(parameter.value.shape)
    lines = [{"delta": d, "test_accuracy": 99 - 80 * d, "deviation": 5 * d, "noise": n, "epoch": 3}
             for n in ("uniform", "floor") for d in (0, 0.01, 0.1, 1.0)]  # fmt: skip
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, lines)))
    t = np.arange(1.0, 101.0)
    rates = 0.2 + np.cos(1.7 * t)
    exponent = Lyapunov(0.2, 0.05, t, np.cumsum(rates) / t, rates)
    return {"trajectory": folder / "run.h5", "model": model, "lines": folder / "lines.jsonl", "exponent": exponent}


def draw(kind, sources):
    if kind in ("weights", "layers", "filters"):
        return plot(sources["model"], kind, size=(1200, 800))
    if kind in ("confusion", "misread"):
        return plot(sources["model"], kind, data="digits", size=(1200, 800))
    source = {"noise": "lines", "lyapunov": "exponent"}.get(kind, "trajectory")
    return plot(sources[source], kind, size=(1200, 800))


@pytest.mark.parametrize("kind", KINDS)
def test_figures_look_as_they_did(kind, sources):
    picture, stored = small_grey(draw(kind, sources)), BASELINE / f"{kind}.png"
    if os.environ.get("DYNSIM_BASELINE") == "write":
        Image.fromarray(picture).save(stored, optimize=True)
    assert alike(picture, np.asarray(Image.open(stored)))


def test_what_is_missing_is_seen(sources):
    """The comparison can fail: without one of its curves, or with another kind's picture, a figure is not alike."""
    figure = draw("signals", sources)
    baseline = np.asarray(Image.open(BASELINE / "signals.png"))
    for line in figure.axes[0].lines:  # of one of three groups
        line.remove()
    assert not alike(small_grey(figure), baseline)
    assert not alike(np.asarray(Image.open(BASELINE / "entropy.png")), np.asarray(Image.open(BASELINE / "phase.png")))
    moved = draw("entropy", sources)
    moved.axes[0].set_ylabel("")
    moved.axes[0].set_ylim(0, 3)
    assert not alike(small_grey(moved), np.asarray(Image.open(BASELINE / "entropy.png")))
