"""The chunks of a dataset of frames: how many frames they bear out, and which of them are damaged."""

from __future__ import annotations

import math

import numpy as np

from dynsim._files import damaged, lacks_memory


def stored_frames(data):
    """How many frames of a dataset are really stored.

    A few bytes of header can claim terabytes, and a killed process can leave a header that is ahead of the
    chunks, so the length is what the chunks bear out.
    """
    if data.chunks is None:
        return data.shape[0]
    per_frame = 1
    for size, chunk in zip(data.shape[1:], data.chunks[1:], strict=True):
        per_frame *= -(-size // chunk)
    return min(data.shape[0], data.id.get_num_chunks() // per_frame * data.chunks[0])


def rows(start, stop, length):
    """Ranges of frames that lie in chunks of `length` frames.

    >>> list(rows(10, 130, 64))
    [(10, 64), (64, 128), (128, 130)]
    """
    while start < stop:
        end = min(stop, (start // length + 1) * length)
        yield start, end
        start = end


def damaged_rows(data, start, stop):
    """Those ranges of frames, as `rows` gives them, that cannot be read: their checksum is wrong."""
    for begin, end in rows(start, stop, data.chunks[0] if data.chunks else max(1, stop)):
        try:
            data[begin:end]
        except (OSError, RuntimeError) as error:
            if lacks_memory(error):
                raise damaged(data.file.filename, error) from error
            yield begin, end


def sound_head(data, frames):
    """How many of the first frames can be read, up to the first that is damaged."""
    try:
        data[:frames]
    except (OSError, RuntimeError):
        return next(damaged_rows(data, 0, frames), (frames, frames))[0]
    return frames


def sound_tail(data, frames):
    """How many of the first frames are left without those that are damaged at the end; only the end is read."""
    if not (data.chunks and data.fletcher32):
        return frames
    length = data.chunks[0]
    while frames:
        start = (frames - 1) // length * length
        if not any(damaged_rows(data, start, frames)):
            break
        frames = start
    return frames


def bytes_of_frames(data, frames):
    """Bytes of so many frames in memory."""
    return frames * math.prod(data.shape[1:]) * data.dtype.itemsize


def mend(data):
    """Undo a writing of the last chunk that a kill ended half way; returns whether there was one that could be undone.

    Then the chunk begins with its new bytes and ends with the old ones, their checksum among them. The frames that
    were in it before are the same in both, and behind them there were zeros: with the right number of zeros the old
    checksum is right.
    """
    if not (data.chunks and data.fletcher32 and len(data) and data.chunks[1:] == data.shape[1:]):
        return False
    length = data.chunks[0]
    start = (len(data) - 1) // length * length
    if not any(damaged_rows(data, start, len(data))):
        return False
    offset = (start, *(0 for _ in data.shape[1:]))
    mask, raw = data.id.read_direct_chunk(offset)
    frames, checksum = np.frombuffer(raw[:-4], np.uint8).reshape(length, -1).copy(), raw[-4:]
    for kept in np.flatnonzero(_checksums(frames) == int.from_bytes(checksum, "little")):
        frames[kept + 1 :] = 0
        data.id.write_direct_chunk(offset, frames.tobytes() + checksum, mask)
        return not any(damaged_rows(data, start, len(data)))
    return False


def _checksums(frames):
    """HDF5's fletcher32 of frames (n, bytes) of which all behind the first, the second, ... are zeros: (n,)."""
    words = frames.view(">u2").astype(np.uint64)
    weights = np.arange(words.size, 0, -1, dtype=np.uint64).reshape(words.shape) % 65535
    sums = [np.cumsum(part.sum(axis=1) % 65535) for part in (words, words * weights)]
    one, two = (np.where((total > 0) & (total % 65535 == 0), 65535, total % 65535) for total in sums)
    return two << np.uint64(16) | one
