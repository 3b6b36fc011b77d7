"""Codes of a few bits as bytes: bit by bit, or by arithmetic coding, whichever is shorter.

The arithmetic coding is that of binary decisions (Witten, Neal & Cleary, CACM 30, 520, 1987): the bits of a code, the
highest first, each with a probability that depends on the bits before it and follows what was seen. It needs no table,
and comes within a few percent of the entropy of the codes. All of it is in whole numbers, so that every machine reads
what another one wrote.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dynsim._files import damaged

LARGEST_SHARE = 2**9  # codes that a byte stands for at most; what says more is refused before memory is taken
MOST = 8  # bits of codes that are coded so
ONE = 2**22  # the unit of probabilities
SEEN = 512  # decisions that a probability is the mean of, at most


def encode(codes, bits):
    """Return (coding, bytes) of whole numbers below 2^bits: b"b" bit by bit, b"a" by arithmetic coding.

    >>> encode(np.arange(1000) % 10 == 0, 3)[0], encode(np.arange(16), 4)[0]
    (b'a', b'b')
    """
    spread = (codes.astype(np.uint32)[:, None] >> np.arange(bits, dtype=np.uint32)) & 1
    plain = np.packbits(spread.astype(np.uint8).ravel()).tobytes()
    if bits > MOST:
        return b"b", plain
    room = np.zeros(len(plain), np.uint8)
    size = _encoded(codes.astype(np.int64), bits, room)
    shorter = size < len(plain) and len(codes) <= LARGEST_SHARE * size
    return (b"a", room[:size].tobytes()) if shorter else (b"b", plain)


def decode(coding, content, bits, count, path):
    """Return `count` numbers that `encode` wrote; raises FileError for bytes that it did not write."""
    held = np.frombuffer(content, np.uint8)
    misfit = damaged(path, "its codes do not fit its configuration")
    if coding == b"b":
        if len(held) != -(-count * bits // 8):
            raise misfit
        spread = np.unpackbits(held, count=count * bits).reshape(count, bits)
        return (spread.astype(np.uint32) << np.arange(bits, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    if coding != b"a" or bits > MOST:
        raise damaged(path, f"its codes are in the coding {coding!r}")
    if count > LARGEST_SHARE * len(held):
        raise misfit
    codes = np.empty(count, np.uint8)
    if _decoded(held, bits, codes) != len(held):
        raise misfit
    return codes


@njit(cache=True)
def _start(bits):
    """Probabilities of a 1 after the bits before, and how often these were seen."""
    return np.full(2**bits, ONE // 2, np.int64), np.zeros(2**bits, np.int64)


@njit(cache=True, inline="always")
def _split(low, high, chance):
    """Where the interval of a 1 ends; both intervals have a place at least, since low < high."""
    return low + (high - low) * max(1, chance // 2**6) // 2**16


@njit(cache=True, inline="always")
def _decide(low, high, middle, bit, chances, seen, node):
    """The interval and the node after a bit, from which the probability learns."""
    if bit:
        high = middle
    else:
        low = middle + 1
    chances[node] += 2 * (bit * (ONE - 1) - chances[node]) // (2 * seen[node] + 3)
    seen[node] = min(seen[node] + 1, SEEN)
    return low, high, 2 * node + bit


@njit(cache=True, inline="always")
def _is_decided(low, high):
    """Whether the first byte of all that is left of the interval is the same."""
    return (low ^ high) < 2**24


@njit(cache=True, inline="always")
def _without_first_byte(low, high):
    return (low << 8) & (2**32 - 1), ((high << 8) & (2**32 - 1)) | 255


@njit(cache=True)
def _encoded(codes, bits, room):
    """Write into `room`; returns the number of bytes, or that of the room, where they do not fit."""
    chances, seen = _start(bits)
    low, high, size = 0, 2**32 - 1, 0
    for code in codes:
        node = 1
        for place in range(bits - 1, -1, -1):
            bit = (code >> place) & 1
            middle = _split(low, high, chances[node])
            low, high, node = _decide(low, high, middle, bit, chances, seen, node)
            while _is_decided(low, high):
                if size == len(room):
                    return size
                room[size] = high >> 24
                low, high = _without_first_byte(low, high)
                size += 1
    if size < len(room):
        room[size] = (low >> 24) + 1  # with zeros after it, between low and high
    return min(size + 1, len(room))


@njit(cache=True)
def _decoded(held, bits, codes):
    """Fill `codes`; returns how many bytes they take."""
    chances, seen = _start(bits)
    low, high, size, value = 0, 2**32 - 1, 0, 0
    for ahead in range(4):
        value = (value << 8) | (held[ahead] if ahead < len(held) else 0)
    for number in range(len(codes)):
        node = 1
        for _ in range(bits):
            middle = _split(low, high, chances[node])
            bit = 1 if value <= middle else 0
            low, high, node = _decide(low, high, middle, bit, chances, seen, node)
            while _is_decided(low, high):
                low, high = _without_first_byte(low, high)
                size += 1
                following = held[size + 3] if size + 3 < len(held) else 0
                value = ((value << 8) & (2**32 - 1)) | following
        codes[number] = node - 2**bits
    return size + 1
