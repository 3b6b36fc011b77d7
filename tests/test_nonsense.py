"""Every argument of every public function is replaced by nonsense, and refused at the call with got and expected.

The functions are found by themselves; a new one needs one line of good arguments here, or the first test fails.
"""

import importlib
import inspect

import numpy as np
import pytest

import dynsim

ROOMS = ("kernels", "engine", "layers", "models", "learning", "trajectory", "plots", "datasets")
# What is public for the other rooms and for results, not called by users: the doors above them check.
INNER = {
    "kernels": {"array_functions", "constants", "expect_accuracy", "fill_row", "has_tree", "in_python", "is_compiled",
                "lane_dot", "lane_sum", "launch", "on_its_own", "relation_normal", "relation_tangent",
                "retarded_sums", "row_specialisation", "rows_by_arrays", "run_text", "TreeReport"},
    "engine": {"Configured", "Solution", "LastOnly", "compiled_at_once", "expect_observables", "expect_state",
               "observe", "FixedPoint", "Lyapunov", "Method"},
    "layers": {"Layer", "ChannelMean", "Flatten", "MaxPool", "ReLU", "Parameter", "Rates", "calibrate", "costs",
               "machine_rates",
               "random_places", "start_strengths", "FirstToken", "Skip", "TokenMean", "is_sortable", "cache_file",
               "median_seconds", "places_on_sphere", "Prepared"},
    "models": {"PreparedModel", "check_size", "Enlarge", "fill", "load_data_for", "take_results"},
    "learning": {"TrainingResult", "FittedWeights", "gauss_newton", "relations_problem", "ridge_target",
                 "Target", "Targets", "apply_inverse", "fit_start", "low_rank", "singular_factors", "Grid",
                 "find_grid", "stored_bits"},
    "plots": {"beside", "expect_format", "product_figure", "Page", "sweep_figure"},
    "datasets": {"Shape"},
    "trajectory": {"StoredFrames", "to_pandas", "to_xarray", "remove_checkpoint",
                   "Progress", "SolutionTrajectory", "TrainingProgress"},
}  # fmt: skip


class Nonsense:
    """An object of no meaning at all."""

    def __repr__(self):
        return "<nonsense>"


VALUES = {
    "object": Nonsense(),
    "text": "nonsense",
    "negative": -1,
    "nan": float("nan"),
    "shape": np.zeros((2, 0, 5, 1, 1)),
}
# Values that mean something after all: parameter (of one function or of any) -> kinds.
MEANINGFUL = {
    "Kernel.scale": {"negative"},
    "SortedProduct.scale": {"negative"},
    **{f"{name}Product.scale": {"negative"} for name in ("Inverse", "Sliced")},
    **{f"{name}.title": {"text"} for name in ("animate", "answers_figure", "page", "view")},
    "animate.output": {"text"},  # gets an ending
    "Tableau.name": {"text"},
    "Tableau.reference": {"text"},
    "Dataset.name": {"text"},
    "find_gz.folder": {"text"},
    "find_gz.name": {"text"},
    "System.strengths": {"negative"},  # of one group: a number
    "System.drive": {"negative"},
    **{f"Operators.{name}": {"negative"} for name in "ABCDEF"},
    **{f"compare.{name}": {"text"} for name in ("x", "y", "title")},
    "save_checkpoint.run": {"text"},
    "EvenTimes.start": {"negative"},
    "resume.until": {"negative"},  # refused by what the file has reached
    # A new file in the current folder, a text of which anything can be made.
    **{f"{name}.path": {"text"} for name in ("run", "solve", "TrajectoryWriter", "save_checkpoint", "save_model")},
    "to_extxyz.output": {"text"},
    "data_dir": {"text"},
    "TrajectoryWriter.observables": {"text"},
    # Nothing is looked for where a data set is embedded.
    **{f"{name}.data_dir": set(VALUES) for name in ("find", "load")},
    "train.trajectory": {"text"},
    "train.checkpoint": {"text"},
    "train.best": {"text"},
    "train.metrics": {"text"},
    "train.resume": set(),
}
PATHS = {"path", "output", "data_dir", "source", "config"}


def public():
    for room in ROOMS:
        module = importlib.import_module(f"dynsim.{room}")
        for name in module.__all__:
            if callable(getattr(module, name)) and name not in INNER.get(room, ()):
                yield f"{room}.{name}"


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """Good arguments of everything: name -> dict, made once."""
    from dynsim.engine import Operators, System, solve
    from dynsim.kernels import Kernel
    from dynsim.learning import Quantiser  # noqa: F401
    from dynsim.models import mlp
    from dynsim.trajectory import run, save_checkpoint

    folder = tmp_path_factory.mktemp("nonsense")
    q, kernel, x = np.arange(6.0).reshape(3, 2), Kernel(), np.ones(3)
    system = System(q, operators=Operators(F=-1.0), delay=0.5)
    ready = dynsim.engine.configure({"groups": [{"neurons": 3}], "run": {"until": 1.0, "method": "rk4", "dt": 0.1}})
    run(
        ready.system,
        ready.span,
        path=folder / "run.h5",
        parameters={"config": ready.config},
        checkpoint_seconds=0.0,
        max_steps=3,
        **ready.options,
    )
    save_checkpoint(folder / "checkpoint", {"a": 1})
    model = mlp((4, 3, 2), copies=2, dim=2)
    model.save(folder / "model.h5")
    images = np.random.default_rng(0).random((8, 1, 2, 2)).astype(np.float32)
    labels = np.arange(8) % 2
    data = dynsim.datasets.Dataset(
        "tiny", images, train_labels=labels, test_images=images, test_labels=labels, classes=2
    )
    pairs = {"kernel": kernel, "sources": q, "targets": q}
    places = np.random.default_rng(1).normal(size=(1, 1, 2, 2))
    relation = {"kernel": kernel, "sources": places, "targets": places + 1, "strengths": np.ones((1, 1, 1))}
    shared = {"kernel": kernel, "sources": places[0], "targets": places[0] + 1, "strengths": np.ones((1, 1))}
    tableau = {"name": "m", "order": 2, "A": [[0, 0], [0.5, 0]], "b": [0, 1], "c": [0, 0.5], "P": [[1, -1], [0, 1]]}
    span, weights = {"system": system, "span": (0.0, 0.1)}, np.ones((2, 2))
    parameters = list(model.parameters.values())
    taught = System(q, teacher=dynsim.engine.Teacher(0, np.zeros((3, 1))))
    plain = {"model": mlp((4, 3, 2), copies=2, dim=2, norm=False)}
    made = {
        "kernels.Kernel": {},
        "kernels.SortedProduct": {"sources": q, "targets": q},
        "kernels.ExponentialProduct": {"sources": q[:, :1], "targets": q[:, :1], "rates": [1.0], "weights": [1.0]},
        "kernels.InverseProduct": {"sources": q[:, :1], "targets": q[:, :1] + 0.5},
        "kernels.SlicedProduct": {"sources": q, "targets": q},
        "kernels.TreeProduct": {**pairs, "accuracy": 1e-3},
        "kernels.weight_free": {"kernel": Kernel("linear", "l1"), "sources": q, "targets": q},
        "kernels.distance_entropy": {"places": q},
        "kernels.pair_sum": {**pairs, "strengths": x},
        "kernels.pair_matrix": pairs,
        "kernels.pair_force": {**pairs, "source_strengths": x, "target_strengths": x},
        "kernels.find_backend": {},
        "kernels.summing_backend": {"kernel": kernel, "n": 3, "m": 3, "d": 3},
        "kernels.relation": relation,
        "kernels.relation_forces": {**relation, "gradient": np.ones((1, 1, 2, 2))},
        "kernels.shared_relation": shared,
        "kernels.shared_relation_forces": {**shared, "gradient": np.ones((1, 2, 2))},
        "engine.EveryStep": {},
        "engine.configuration_schema": {},
        "engine.EvenTimes": {"start": 0.0, "end": 1.0, "count": 3},
        "engine.Times": {"times": [0.0, 1.0]},
        "engine.Operators": {},
        "engine.System": {"q": q},
        "engine.Tableau": tableau,
        "engine.configure": {"config": {"groups": [{"neurons": 2}], "run": {"until": 1.0}}},
        "engine.echo_gain": {"system": System(q, operators=Operators(A=0.5))},
        "engine.loss_below": {"system": taught, "x": 0.1},
        "engine.velocity": {"system": System(q), "q": q, "R": np.zeros((len(q), 1)), "E": np.zeros((len(q), 1))},
        "engine.estimate": span,
        "engine.fixed_points": {"system": System(q, operators=Operators(F=-1.0)), "starts": 1},
        "engine.lyapunov": {"system": system, "span": (0.0, 20.0)},
        "engine.kinetic_energy": {"velocity": q, "mass": 1.0},
        "engine.neuron_masses": {"system": System(q)},
        "engine.Teacher": {"group": 0, "targets": [[0.5]]},
        "engine.expect_span": {"span": (0.0, 1.0)},
        "engine.solve": {**span, "method": "dopri5"},
        "layers.BatchNorm": {"channels": 2},
        "layers.Conv": {"places_in": np.ones((3, 1, 2, 2)), "places_out": np.zeros((3, 1, 2, 2)),
                        "strengths": np.ones((3, 3, 1))},
        "layers.Depthwise": {"places": np.ones((1, 1, 2, 2)), "offsets": np.zeros((1, 1, 9, 2)),
                             "strengths": np.ones((1, 1, 1))},
        "layers.Full": {"places_in": np.ones((1, 2, 2)), "places_out": np.zeros((1, 3, 2)), "strengths": [1.0]},
        "layers.Attention": {"places_in": np.ones((1, 2, 2)), "places_query_key": np.zeros((1, 4, 2)),
                             "places_value": np.zeros((1, 2, 2)), "strengths": [1.0]},
        "layers.Add": {"skip": dynsim.layers.Skip()},
        "layers.ClassToken": {"value": x},
        "layers.LayerNorm": {"width": 2},
        "layers.Patches": {"size": 2},
        "layers.PlainAttention": {"weights": np.ones((6, 2))},
        "layers.Positions": {"value": weights},
        "layers.LowRankConv": {"left": np.ones((6, 1)), "right": np.ones((1, 8)), "n_in": 2},
        "layers.LowRankFull": {"left": weights, "right": weights},
        "layers.PlainConv": {"weights": np.ones((2, 2, 3, 3))},
        "layers.PlainDepthwise": {"weights": np.ones((2, 3, 3))},
        "layers.PlainFull": {"weights": weights},
        "layers.choose": {"inference": "auto", "kernel": kernel, "m": 3, "n": 3, "d": 2, "copies": 1, "columns": 1},
        "layers.softmax_cross_entropy": {"scores": weights, "labels": np.array([0, 1])},
        "models.Model": {"layers": model.layers, "config": model.config},
        "models.build": {"config": model.config},
        "models.count": {"model": model},
        "models.describe": {"path": folder / "model.h5"},
        "models.describe_converted": {"path": folder / "model.h5"},
        "models.compact": {"channels": 4, "copies": 2},
        "models.lenet5": {},
        "models.mlp": {"widths": (4, 3, 2)},
        "models.latency": {"model": model},
        "models.materialize": {"model": model},
        "models.numbers": {"model": model},
        "models.operations": {"model": model},
        "models.plan": {"model": model},
        "models.vit": {},
        "models.load_model": {"path": folder / "model.h5"},
        "models.save_model": {"model": model, "path": folder / "other.h5"},
        "learning.preset_config": {"name": "pair"},
        "learning.Adam": {"parameters": parameters},
        "learning.Inertial": {"parameters": parameters},
        "learning.Overdamped": {"parameters": parameters},
        "learning.Augment": {},
        "learning.Distillation": {"model": model},
        "learning.Quantiser": {"model": model, "bits": 8},
        "learning.accuracy": {"model": model, "images": images, "labels": labels},
        "learning.evaluate": {"model": model, "images": images, "labels": labels},
        "learning.fit": {"model": model, "reference": mlp((4, 3, 2), weights=True), "steps": 1},
        "learning.flow_model": {**plain, "end": np.ones((2, 9, 2))},
        "learning.flow_system": {**plain, "images": images, "labels": labels},
        "learning.one_cycle": {"step": 1, "steps": 10, "peak": 0.1},
        "learning.estimate": {"model": model, "data": data, "epochs": 1, "batch": 4},
        "learning.fit_weights": {"weights": np.ones((1, 1, 3, 4)), "steps": 1},
        "learning.train": {"model": model, "data": data, "epochs": 1, "batch": 4},
        "trajectory.Trajectory": {"path": folder / "run.h5"},
        "trajectory.TrajectoryWriter": {"path": folder / "new.h5", "neurons": 2, "dimension": 2},
        "trajectory.file_kind": {"path": folder / "run.h5"},
        "trajectory.stored_run": {"path": folder / "run.h5"},
        "trajectory.stored_system": {"trajectory": dynsim.trajectory.Trajectory(folder / "run.h5")},
        "trajectory.load_checkpoint": {"path": folder / "checkpoint"},
        "trajectory.save_checkpoint": {"path": folder / "checkpoint", "state": {"a": 1}},
        "trajectory.run": {**span, "path": folder / "again.h5", "overwrite": True},
        "trajectory.resume": {"path": folder / "run.h5"},
        "trajectory.solve": span,
        "trajectory.to_extxyz": {"path": folder / "run.h5", "output": folder / "run.xyz", "overwrite": True},
        "trajectory.validate": {"path": folder / "run.h5"},
        "plots.available": {"source": dynsim.trajectory.Trajectory(folder / "run.h5")},
        "plots.answers_figure": {"images": images, "answers": ["a"] * 8},
        "plots.animate": {"source": folder / "run.h5", "output": folder / "a.gif"},
        "plots.view": {"source": folder / "run.h5", "output": folder / "a.html"},
        "plots.compare": {"series": {"a": [(1.0, 2.0), (3.0, 4.0)]}, "x": "x", "y": "y"},
        "plots.options_of": {"kind": "signals"},
        "plots.page": {"source": folder / "run.h5"},
        "plots.usual_kind": {"source": folder / "run.h5"},
        "plots.plot": {"source": folder / "run.h5", "kind": "signals"},
        "plots.save": {"figure": dynsim.plots.plot(folder / "run.h5", "signals"), "output": folder / "a.png"},
        "datasets.Dataset": {"name": "a", "train_images": images, "train_labels": labels, "test_images": images,
                             "test_labels": labels, "classes": 2},
        "datasets.background_of": {"images": images},
        "datasets.fetch": {"name": "digits"},
        "datasets.find": {"name": "digits"},
        "datasets.find_gz": {"folder": folder, "name": "no.idx"},
        "datasets.fit_images": {"images": images, "image": (1, 4, 4)},
        "datasets.load": {"name": "digits"},
        "datasets.read_cifar10": {"path": folder / "no.bin"},
        "datasets.read_idx": {"path": folder / "no.idx"},
        "datasets.read_images": {"path": folder / "no.png"},
        "datasets.read_picture": {"path": folder / "no.png"},
        "datasets.search_path": {},
    }  # fmt: skip
    assert solve(system, (0.0, 0.1)).success
    return made


def test_every_public_function_is_here(good):
    assert set(public()) <= set(good), "give good arguments of the new functions above, or name them among INNER"


def arguments():
    for name in public():
        room, function = name.split(".")
        signature = inspect.signature(getattr(importlib.import_module(f"dynsim.{room}"), function))
        for parameter in signature.parameters.values():
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                yield name, parameter.name


@pytest.mark.parametrize(("name", "parameter"), list(arguments()))
def test_nonsense_is_refused_at_the_call(good, name, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some texts are the name of a new file
    room, short = name.split(".")
    function = getattr(importlib.import_module(f"dynsim.{room}"), short)
    fine = MEANINGFUL.get(f"{short}.{parameter}", MEANINGFUL.get(parameter, set()))
    wrong = []
    for kind, value in VALUES.items():
        if kind in fine:
            continue
        try:
            function(**{**good[name], parameter: value})
        except (ValueError, TypeError, OSError) as error:
            if isinstance(error, OSError) and parameter not in PATHS:
                wrong.append(f"{kind}: {type(error).__name__} {error}")
                continue
            message = str(error)
            came = ("nonsense", "Nonsense", "str", "-1", "nan", "(2, 0, 5, 1, 1)", "ndarray", "int", "float",
                    "shape ()", "array", "object")  # fmt: skip
            if not any(word in message for word in ("expected", "must be", "give ", "choose ")) and not isinstance(
                error, OSError
            ):
                wrong.append(f"{kind}: does not say what was expected: {message}")
            elif not any(word in message for word in came):
                wrong.append(f"{kind}: does not say what came: {message}")
            elif "\n" in message:
                wrong.append(f"{kind}: more than one line: {message}")
        except Exception as error:
            wrong.append(f"{kind}: {type(error).__name__} {error}")
        else:
            wrong.append(f"{kind}: accepted")
    assert not wrong, "\n".join([f"{name}({parameter}=)", *wrong])
