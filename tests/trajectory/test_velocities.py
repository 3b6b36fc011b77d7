"""Velocities of neurons with mass: what is written is read, everywhere; files of other neurons are as they were."""

import errno
import json
import os

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dynsim
from dynsim.engine import Operators, System, Teacher, configure, neuron_masses
from dynsim.errors import DataError, FileError
from dynsim.trajectory import (
    SolutionTrajectory,
    StoredFrames,
    Trajectory,
    TrajectoryWriter,
    resume,
    run,
    stored_system,
    to_extxyz,
    validate,
)
from dynsim.trajectory._stored_system import describe_system


def oscillators(copies=None, **changes):
    """Neurons of two groups at springs, with mass and friction of each group."""
    q = np.random.default_rng(0).normal(size=(5, 2) if copies is None else (copies, 5, 2))
    given = {
        "operators": Operators(F=-2.0, A=0.1, B=0.2),
        "kernel": dynsim.Kernel("gaussian"),
        "groups": [0, 1, 1, 0, 1],
    }
    given |= {"mass": [1.0, 3.0], "friction": [0.5, 0.0], "velocity": 0.1 * q, "signals": None}
    operators = Operators(F=-2.0, A=0.1, B=[[0.2, -0.1]])
    return System(q, **{**given, "operators": operators, **changes})


RUN = {"method": "verlet", "dt": 0.125}


@settings(max_examples=15, deadline=None)
@given(
    neurons=st.integers(1, 4),
    dimension=st.integers(1, 5),
    copies=st.integers(1, 3),
    frames=st.integers(0, 70),  # chunks hold 64
    buffer=st.sampled_from([1, 3, 64]),
    dtype=st.sampled_from(["float32", "float64"]),
    cut=st.integers(0, 70),
)
def test_what_was_written_is_read_also_behind_a_cut(
    tmp_path_factory, neurons, dimension, copies, frames, buffer, dtype, cut
):
    rng = np.random.default_rng(frames)
    q, velocity = rng.normal(size=(2, frames, copies, neurons, dimension)).astype(dtype)
    mass = rng.uniform(0.5, 2.0, neurons)
    path = tmp_path_factory.mktemp("trip") / "run.h5"
    sizes = {"neurons": neurons, "dimension": dimension, "copies": copies}

    def write(writer, steps):
        for k in steps:
            parts = (q[k], velocity[k]) if copies > 1 else (q[k, 0], velocity[k, 0])
            writer.write(k, float(k), parts[0], velocity=parts[1])

    with TrajectoryWriter(path, **sizes, mass=mass, buffer=buffer, dtype=dtype) as writer:
        write(writer, range(frames))
    kept = min(frames, cut)
    with TrajectoryWriter.append(path, after_step=kept - 1, buffer=buffer) as writer:
        assert writer.frames == kept
        write(writer, range(kept, frames))
    with Trajectory(path) as read:
        assert read.frames == frames and read.velocity.dtype == dtype
        assert np.array_equal(read.q[...], q.reshape(read.q.shape))
        assert np.array_equal(read.velocity[...], velocity.reshape(read.velocity.shape))
        assert np.array_equal(read.mass, np.tile(mass, copies))
    with Trajectory(path) as read, h5py.File(path) as file:
        seen = file["particles/view/velocity/value"]
        assert seen.shape == (frames, copies * neurons, 3)
        shown = min(3, dimension)
        assert np.array_equal(seen[..., :shown], read.velocity[...][..., :shown])
        assert not seen[..., shown:].any()
    assert validate(path) == ([] if frames else ["it holds no frames"])


# Of 0.2.0, in the order in which the groups keep them.
LAYOUT = {
    "particles/view": ["box", "position", "species"],
    "particles/native": ["box", "emitted_signal", "position", "received_signal", "species"],
}


def test_the_layout_of_neurons_without_mass_is_that_of_earlier_files(tmp_path):
    path = tmp_path / "run.h5"
    dynsim.solve(System(np.eye(2)), (0.0, 1.0), path=path, t_eval=[0.0, 1.0])
    with h5py.File(path) as file:
        assert {name: list(file[name]) for name in LAYOUT} == LAYOUT
        assert list(file["particles/native"].attrs) == ["copies", "digest", "dimension", "neurons", "note", "signals"]
        described = json.loads(file["parameters/system"].asstr()[()])
    assert set(described) == {"kernel", "operators", "activation", "strengths", "delay", "signals", "clamped"}
    read = Trajectory(path)
    assert read.velocity is None and read.mass is None and "mass" not in read.facts()
    to_extxyz(path, tmp_path / "run.xyz")
    assert "Properties=species:S:1:pos:R:3:group:I:1:E:R:1:R:R:1 " in (tmp_path / "run.xyz").read_text()


def test_velocities_are_an_element_of_h5md(tmp_path):
    for dimension in (2, 3):
        path = tmp_path / f"{dimension}.h5"
        TrajectoryWriter(path, neurons=2, dimension=dimension, mass=1.5).close()
        with h5py.File(path) as file:
            for name in ("view", "native"):
                group = file[f"particles/{name}"]
                assert group["velocity/step"] == group["position/step"]
                assert group["velocity/time"] == group["position/time"]
                assert group["velocity/value"].attrs["unit"] == "Angstrom ps-1"
                assert group["velocity/value"].fletcher32 and group["velocity/value"].chunks[0] == 64
                assert group["mass"][()].tolist() == [1.5, 1.5]
            both = file["particles/view/velocity/value"] == file["particles/native/velocity/value"]
            assert both == (dimension == 3)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_mdanalysis_reads_them_unscaled(tmp_path):
    MDAnalysis = pytest.importorskip("MDAnalysis", reason="MDAnalysis, which reads H5MD, is not installed")
    path = tmp_path / "run.h5md"
    dynsim.solve(oscillators(copies=2), (0.0, 1.0), path=path, **RUN)
    universe, read = MDAnalysis.Universe(path), Trajectory(path)
    for k, frame in enumerate(universe.trajectory):
        assert np.array_equal(frame.velocities[:, :2], read.velocity[k].astype(np.float32))
    universe.trajectory.close()


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "run.h5"
    for mass, words in ((0.0, "above 0"), (-1.0, "above 0"), (np.ones(3), r"\(2,\)"), (np.nan, "finite")):
        with pytest.raises(ValueError, match=f"mass: .*{words}"):
            TrajectoryWriter(path, neurons=2, dimension=1, mass=mass)
        assert not path.exists()
    with pytest.raises(ValueError, match="does not use itself"):
        TrajectoryWriter(path, neurons=2, dimension=1, observables=["velocity"])
    with TrajectoryWriter(path, neurons=2, dimension=1, mass=1.0) as writer:
        with pytest.raises(ValueError, match="velocity: got none"):
            writer.write(0, 0.0, [[1.0], [2.0]])
        with pytest.raises(ValueError, match="velocity: got shape"):
            writer.write(0, 0.0, [[1.0], [2.0]], velocity=[[1.0]])
        assert writer.frames == 0
    with TrajectoryWriter(tmp_path / "other.h5", neurons=2, dimension=1) as writer:
        with pytest.raises(ValueError, match="without mass; make the writer with mass=m"):
            writer.write(0, 0.0, [[1.0], [2.0]], velocity=[[1.0], [2.0]])


@pytest.mark.parametrize("copies", [None, 3])
def test_a_run_into_a_file_has_the_velocities_of_one_in_memory(tmp_path, copies):
    system, path, seen = oscillators(copies), tmp_path / "run.h5", []
    inside = dynsim.solve(system, (0.0, 4.0), **RUN)
    stored = dynsim.solve(system, (0.0, 4.0), path=path, sink=lambda *frame: seen.append(frame), **RUN)
    assert isinstance(stored.velocity, StoredFrames) and stored.velocity.shape == inside.velocity.shape
    assert np.array_equal(inside.velocity[0], system.velocity)
    for name in ("q", "velocity"):
        assert np.array_equal(getattr(stored, name), getattr(inside, name))
        assert np.array_equal(getattr(stored, name)[-1], getattr(inside, name)[-1])
    assert np.array_equal([frame[4] for frame in seen], inside.velocity)
    kept = dynsim.solve(system, (0.0, 4.0), path=path, overwrite=True, keep=True, **RUN)
    assert isinstance(kept.velocity, np.ndarray) and np.array_equal(kept.velocity, inside.velocity)
    with Trajectory(path) as read:
        memory = SolutionTrajectory(inside)
        assert np.array_equal(read.velocity[...], memory.velocity[...]) and np.array_equal(read.mass, memory.mass)
        assert read.mass.tolist() == [1.0, 3.0, 3.0, 1.0, 3.0] * (copies or 1)
        assert read.facts()["mass"] == "1 to 3"
    without = dynsim.solve(System(np.eye(2)), (0.0, 1.0), path=tmp_path / "other.h5")
    assert without.velocity is None and dynsim.solve(System(np.eye(2)), (0.0, 1.0)).velocity is None


@pytest.mark.parametrize("copies", [None, 3])
def test_labelled_arrays_and_tables_have_them(tmp_path, copies):
    pytest.importorskip("xarray")
    system, path = oscillators(copies), tmp_path / "run.h5"
    inside = dynsim.solve(system, (0.0, 1.0), **RUN)
    dynsim.solve(system, (0.0, 1.0), path=path, **RUN)
    with Trajectory(path) as read:
        for source in (inside, read):
            data = source.to_xarray()
            assert data.velocity.dims == data.q.dims and np.array_equal(data.velocity, inside.velocity)
            assert np.array_equal(data.velocity[2], inside.velocity[2]) and data.mass.dims == ("neuron",)
            assert np.array_equal(data.mass, neuron_masses(system))
            table = source.to_pandas()
            assert np.array_equal(table.velocity_1, inside.velocity[..., 1].ravel())
    assert "velocity" not in dynsim.solve(System(np.eye(2)), (0.0, 1.0)).to_xarray()


@pytest.mark.parametrize("dimension", [2, 5])
def test_extended_xyz_has_velocities_masses_and_momenta(tmp_path, dimension):
    path, out, rng = tmp_path / "run.h5", tmp_path / "run.xyz", np.random.default_rng(dimension)
    velocity, mass = rng.normal(size=(2, dimension)), np.array([2.0, 3.0])
    with TrajectoryWriter(path, neurons=2, dimension=dimension, mass=mass) as writer:
        writer.write(0, 0.0, rng.normal(size=(2, dimension)), velocity=velocity)
    to_extxyz(path, out)
    head, *rows = out.read_text().splitlines()[1:]
    whole = ["q:R:5", "velo:R:3", "masses:R:1", "momenta:R:3", "velocity:R:5"]
    columns = whole if dimension == 5 else whole[1:4]
    assert head.startswith(f"Properties=species:S:1:pos:R:3:group:I:1:{':'.join(columns)} ")
    seen = np.zeros((2, 3))
    seen[:, : min(3, dimension)] = velocity[:, :3]
    for row, speed, whole, m in zip(rows, seen, velocity, mass, strict=True):
        numbers = list(map(float, row.split()[5 + (5 if dimension == 5 else 0) :]))
        assert numbers == [*speed, m, *(m * speed), *(whole if dimension == 5 else [])]


def test_ase_has_the_velocities(tmp_path):
    ase_io = pytest.importorskip("ase.io", reason="needs ASE, which is no dependency")
    path = tmp_path / "run.h5"
    dynsim.solve(oscillators(), (0.0, 1.0), path=path, **RUN)
    to_extxyz(path, tmp_path / "run.xyz")
    frames = ase_io.read(tmp_path / "run.xyz", index=":")
    with Trajectory(path) as read:
        assert np.array_equal(frames[-1].get_masses(), read.mass)
        # A product and its quotient are rounded to 2^-53 each.
        assert np.allclose(frames[-1].get_velocities()[:, :2], read.velocity[-1], rtol=1e-15, atol=0)


def test_the_commands_know_them(tmp_path, capsys):
    from dynsim.cli import main

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        return stop.value.code

    config, path = tmp_path / "spring.toml", tmp_path / "spring.h5"
    config.write_text(
        "seed = 4\ndimension = 2\nmass = 2.0\nfriction = 0.5\n"
        "temperature = { times = [0.0, 1.0], values = [0.2, 0.1] }\n"
        '[operators]\nF = -1.0\n[[groups]]\nneurons = 3\n[run]\nuntil = 2.0\nmethod = "baoab"\ndt = 0.125\n'
    )
    assert call("simulate", config, "-o", path) == 0 and call("validate", path) == 0
    capsys.readouterr()
    assert call("info", path, "--json") == 0 and json.loads(capsys.readouterr().out)["mass"] == [2.0, 2.0]
    assert call("info", path) == 0 and "mass" in capsys.readouterr().out
    assert call("simulate", config, "--dry-run", "--json") == 0
    costs = json.loads(capsys.readouterr().out)
    # Places and velocities, each with its view of three coordinates, R and E; 17 frames of 3 neurons.
    assert costs["file_bytes"] == 8 * 17 * 3 * (2 + 2 + 3 + 3 + 1 + 1)
    first = Trajectory(path).velocity[...]
    assert first[0].any() == False and first[-1].all()  # noqa: E712
    assert call("simulate", config, "-o", tmp_path / "other.h5", "--seed", 5) == 0
    assert not np.array_equal(Trajectory(tmp_path / "other.h5").velocity[-1], first[-1])
    assert call("resume", path, "--until", 3) == 0 and Trajectory(path).time[-1] == 3.0


def test_damage_to_velocities_is_found(tmp_path):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=2, dimension=2, mass=1.0) as writer:
        for k in range(130):
            velocity = np.full((2, 2), np.inf if k == 70 else 1.0)
            writer.write(k, float(k), np.full((2, 2), k), velocity=velocity)
    assert validate(path) == ["velocities: frame 70 is the first of 1 with numbers that are not finite"]
    raw = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file["particles/native/velocity/value"].id.get_chunk_info(0).byte_offset
        mass = file["particles/native/mass"].id.get_offset()
    for where in (chunk + 40, mass + 3):
        changed = bytearray(raw)
        changed[where] ^= 4
        path.write_bytes(changed)
        if where == chunk + 40:
            assert validate(path)[0] == "velocities: frames 0 to 63 are damaged, their checksum is wrong"
        else:
            with pytest.raises(FileError, match="mass is damaged"):
                Trajectory(path)
    path.write_bytes(raw)
    with h5py.File(path, "r+") as file:
        del file["particles/native/velocity"]
    with pytest.raises(FileError, match="velocity"):
        Trajectory(path)


def test_a_tail_without_velocities_is_cut_off(tmp_path):
    path = tmp_path / "run.h5"
    dynsim.solve(oscillators(), (0.0, 2.0), path=path, **RUN)
    with h5py.File(path, "r+") as file:
        file["particles/native/velocity/value"].resize(0, axis=0)
    assert Trajectory(path).frames == 0
    assert any("behind the last whole one" in finding for finding in validate(path))


def test_a_full_disk_keeps_velocities_and_places_together(tmp_path, monkeypatch):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system allocates no room ahead")
    full, places = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), np.ones((5000, 2))

    def allocate(handle, begin, length):
        raise full

    with TrajectoryWriter(tmp_path / "run.h5", neurons=5000, dimension=2, buffer=1, mass=1.0) as writer:
        writer.write(0, 0.0, places, velocity=places)
        monkeypatch.setattr(os, "posix_fallocate", allocate)
        step = 1
        with pytest.raises(OSError, match="No space left"):
            for step in range(1, 200):
                writer.write(step, float(step), places, velocity=places)
    with Trajectory(tmp_path / "run.h5") as read:
        assert read.frames == step and (read.velocity[...] == 1.0).all()


def test_the_file_says_what_moves_its_neurons(tmp_path):
    path = tmp_path / "run.h5"
    teacher = Teacher(1, np.ones((3, 1)), rate=0.5)
    for changes in ({}, {"temperature": 0.25}, {"temperature": ([0.0, 1.0], [0.5, 0.0]), "teacher": teacher},
                    {"mass": 0.0, "velocity": None, "friction": 2.0, "teacher": teacher}):  # fmt: skip
        system = oscillators(**changes)
        method = "baoab" if system.velocity is not None else "rk4"
        solution = dynsim.solve(system, (0.0, 1.0), path=path, method=method, dt=0.125, overwrite=True)
        made = stored_system(Trajectory(path))
        assert np.array_equal(neuron_masses(made), neuron_masses(system))
        assert np.array_equal(made.friction, system.friction) and made.warm == system.warm
        assert np.array_equal(np.asarray(made.temperature), np.asarray(system.temperature))
        assert (made.teacher is None) == (system.teacher is None)
        if made.teacher is not None:
            assert made.teacher.rate == 0.5 and np.array_equal(made.teacher.targets, teacher.targets)
        start = made.replace(q=system.q, velocity=system.velocity)
        again = dynsim.solve(start, (0.0, 1.0), method=method, dt=0.125)
        assert np.array_equal(again.q, solution.q)


def test_a_teacher_is_never_lost_silently(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    monkeypatch.setattr("dynsim.trajectory._stored_system._MOST_NUMBERS", 100)
    system = oscillators(
        teacher=Teacher(1, np.zeros((3, 50))), operators=Operators(A=1.0, F=-1.0), signals=50, mass=0.0, velocity=None,
        friction=1.0,
    )  # fmt: skip
    dynsim.solve(system, (0.0, 0.5), path=path, method="euler", dt=0.25)
    with Trajectory(path) as read:
        described = read.provenance["system"]["teacher"]
        assert described == {"group": 1, "loss": "squared error", "rate": 1.0, "targets": None}
        assert stored_system(read) is None
        assert "forces" not in dynsim.plots.available(read)
        figure = read.plot("energy")
        assert "force of a teacher" in figure.get_supxlabel() and len(figure.axes) == 2


@pytest.mark.parametrize(
    "wrong", [{"mass": -1.0}, {"temperature": [1.0]}, {"teacher": {"group": 0}}, {"teacher": 3}, {"masses": 1.0}]
)
def test_a_description_that_cannot_be_is_refused(tmp_path, wrong):
    path, described = tmp_path / "run.h5", describe_system(System(np.eye(2)))
    sizes = {"neurons": 2, "dimension": 2, "signals": 1}
    with TrajectoryWriter(path, **sizes, provenance={"system": {**described, **wrong}}) as writer:
        writer.write(0, 0.0, np.ones((2, 2)), [0.0, 0.0], [0.0, 0.0])
    with Trajectory(path) as read, pytest.raises(DataError, match="description of the system"):
        stored_system(read)


WARM = {
    "seed": 7,
    "dimension": 2,
    "friction": 0.5,
    "temperature": 0.3,
    "operators": {"F": -1.0},
    "groups": [{"neurons": 3}],
    "run": {"until": 1.0, "method": "euler_maruyama", "dt": 0.125},
}


def test_one_seed_serves_places_and_noise(tmp_path):
    ready = configure(WARM)
    assert ready.options["seed"] == 7 and "seed" not in configure({**WARM, "temperature": 0.0}).options
    inside = dynsim.solve(ready.system, ready.span, **ready.options)
    by_hand = {name: value for name, value in ready.options.items() if name != "seed"}
    noise = [dynsim.engine.solve(ready.system, ready.span, seed=seed, **by_hand).q for seed in (7, 8)]
    assert np.array_equal(inside.q, noise[0]) and not np.array_equal(inside.q[-1], noise[1][-1])
    path, parameters = tmp_path / "run.h5", {"config": ready.config}
    stored = run(ready.system, ready.span, path=path, parameters=parameters, **ready.options)
    assert np.array_equal(stored.q, inside.q) and Trajectory(path).seed == 7
    stored = dynsim.solve(ready.system, ready.span, path=path, overwrite=True, **{**ready.options, "seed": 8})
    assert np.array_equal(stored.q, noise[1]) and Trajectory(path).seed == 8
    # A file that is begun anew, or goes on, has the noise of its seed.
    run(
        ready.system,
        ready.span,
        path=path,
        parameters=parameters,
        overwrite=True,
        checkpoint_seconds=0.0,
        **ready.options,
    )
    longer = configure({**WARM, "run": {**WARM["run"], "until": 2.0}})
    whole = dynsim.solve(longer.system, longer.span, **longer.options)
    assert np.array_equal(resume(path, until=2.0).q, whole.q)
    for leftover in tmp_path.glob("*.checkpoint*"):
        leftover.unlink()
    assert np.array_equal(resume(path).q, whole.q)


def test_seeds_of_any_size_are_kept_where_there_is_no_noise(tmp_path):
    path, large = tmp_path / "run.h5", 2**70
    dynsim.solve(System(np.eye(2)), (0.0, 1.0), path=path, seed=large)
    assert Trajectory(path).seed == large
    warm, other = configure(WARM), tmp_path / "other.h5"
    with pytest.raises(ValueError, match=r"seed: .*below 2\^64"):
        dynsim.solve(warm.system, warm.span, path=other, **{**warm.options, "seed": large})
    assert not other.exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mass": -1.0}, "mass"),
        ({"mass": [1.0, 2.0]}, "mass: got shape"),
        ({"temperature": {"times": [0.0]}}, "temperature: values is missing"),
        ({"temperature": {"times": [0.0], "value": [1.0]}}, "value"),
        ({"temperature": {"times": [1.0, 0.0], "values": [1.0, 1.0]}}, "temperature times"),
        ({"run": {"until": 1.0}}, "dopri5 at a temperature above 0"),
    ],
)
def test_configurations_of_inertia_are_refused_by_name(wrong, words):
    with pytest.raises(ValueError, match=words):
        ready = configure({**WARM, **wrong})
        dynsim.solve(ready.system, ready.span, **ready.options)


def test_progress_tells_places_from_velocities(tmp_path):
    path, system = tmp_path / "run.h5", oscillators()
    solution = run(system, (0.0, 2.0), path=path, progress_seconds=0.0, **RUN)
    lines = [json.loads(line) for line in (tmp_path / "run.h5.progress").read_text().splitlines()]
    last = [line for line in lines if "speed" in line][-1]
    # The root mean square of five lengths: a few sums and a root.
    assert last["speed"] == pytest.approx(np.sqrt(np.sum(solution.velocity[-1] ** 2) / 5), rel=1e-14)
    assert last["echo_gain"] == pytest.approx(solution.echo_gain, rel=1e-9)
