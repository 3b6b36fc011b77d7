"""Lazy frames index as arrays do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynsim.trajectory._reader import Frames

DATA = np.arange(11 * 4 * 2, dtype=float).reshape(11, 4, 2)
CUT = 9
INDEX = st.integers(-CUT, CUT - 1)
BOUND = st.none() | st.integers(-15, 15)
SLICE = st.builds(slice, BOUND, BOUND, st.none() | st.integers(-4, 4).filter(bool))


@given(first=INDEX | SLICE | st.lists(INDEX), rest=st.sampled_from([(), (0,), (slice(1, 3),), (..., 1)]))
def test_indexing_is_numpys(first, rest):
    expected = DATA[:CUT]
    first = np.array(first, dtype=int) if isinstance(first, list) else first
    # NumPy moves the axis of an index array when integers stand beside it; frames always come first.
    picked = expected[first]
    picked = picked[(slice(None), *rest)] if not isinstance(first, int) else picked[rest]
    got = Frames(DATA, CUT)[(first, *rest)] if rest else Frames(DATA, CUT)[first]
    assert got.shape == picked.shape and np.array_equal(got, picked)


@given(frames=st.none() | SLICE, particles=st.none() | st.lists(st.integers(0, 3)))
def test_read_selects_frames_and_particles(frames, particles):
    expected = DATA[:CUT][frames if frames is not None else slice(None)]
    if particles is not None:
        expected = expected[:, np.array(particles, dtype=int)]
    got = Frames(DATA, CUT).read(frames, particles)
    assert got.shape == expected.shape and np.array_equal(got, expected)


def test_as_an_array():
    frames = Frames(DATA, CUT)
    assert np.array_equal(np.asarray(frames), DATA[:CUT]) and len(frames) == CUT
    assert np.array_equal(frames[...], DATA[:CUT]) and np.array_equal(frames[..., 0], DATA[:CUT, :, 0])
    assert np.array_equal(frames[..., 2, 1], DATA[:CUT, 2, 1]) and frames[..., 3, 2, 1] == DATA[3, 2, 1]
    assert np.asarray(frames, dtype="float32").dtype == "float32"
    with pytest.raises(ValueError, match="copy"):
        frames.__array__(copy=False)  # what NumPy 2 asks
    with pytest.raises(IndexError, match="9 frames"):
        frames[9]


def test_blocks_of_particles_are_bounded(monkeypatch):
    monkeypatch.setattr("dynsim.trajectory._reader._READ_BYTES", 1)
    assert np.array_equal(Frames(DATA, CUT).read(slice(None, None, -2), [3, 1]), DATA[8::-2][:, [3, 1]])


def test_more_than_the_memory_is_refused():
    class Huge:
        shape, dtype = (10**9, 10**6, 3), np.dtype(float)

    with pytest.raises(ValueError, match="read fewer frames"):
        Frames(Huge(), 10**9).read()
