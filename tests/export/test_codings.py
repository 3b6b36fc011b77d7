"""Codes as bytes: what is written is read, near the entropy, and other bytes are refused or are other codes."""

import numpy as np
import pytest

from dynsim.errors import FileError
from dynsim.export._codings import LARGEST_SHARE, decode, encode


def codes_of(generator, number, bits, zeros):
    """Codes of normal numbers, counted from that of 0, of which a share is 0."""
    codes = np.rint(generator.standard_normal(number) * 2**bits / 6).astype(int) % 2**bits
    codes[generator.random(number) < zeros] = 0
    return codes


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 12, 16])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.95, 1.0])
def test_what_is_written_is_read(bits, zeros):
    generator = np.random.default_rng(bits)
    for number in (0, 1, 2, 7, 100, 3000):
        codes = codes_of(generator, number, bits, zeros)
        coding, content = encode(codes, bits)
        assert len(content) <= -(-number * bits // 8) and (bits <= 8 or coding == b"b")
        np.testing.assert_array_equal(decode(coding, content, bits, number, "file"), codes)


@pytest.mark.parametrize(("bits", "zeros"), [(2, 0.0), (4, 0.0), (3, 0.9), (5, 0.95)])
def test_it_comes_near_the_entropy(bits, zeros):
    codes = codes_of(np.random.default_rng(1), 20_000, bits, zeros)
    shares = np.bincount(codes) / len(codes)
    entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum() * len(codes) / 8
    coding, content = encode(codes, bits)
    # Each of the 2^bits - 1 probabilities is learnt from what it codes: about half a bit of the logarithm of the number
    # of its decisions, 7 bits at most; and their mean over 512 fluctuates, which costs 1/1000 bit a decision.
    assert coding == b"a" and entropy < len(content) < entropy + 2**bits + 1e-3 * bits * len(codes) / 8 + 4


def test_other_bytes_are_refused_or_other_codes():
    codes = codes_of(np.random.default_rng(2), 500, 3, 0.8)
    coding, content = encode(codes, 3)
    assert coding == b"a"
    wrong = [content[:-1], content + b"\0", content[:3], b"", content[1:], b"\xff" * len(content), content * 2]
    for other in wrong:
        try:
            assert (decode(coding, other, 3, 500, "file") != codes).any()
        except FileError:
            pass
    with pytest.raises(FileError, match="do not fit"):
        decode(b"a", content, 3, LARGEST_SHARE * len(content) + 1, "file")
    with pytest.raises(FileError, match="do not fit"):
        decode(b"b", content, 3, 500, "file")
    for coding in (b"c", b"", b"z"):
        with pytest.raises(FileError, match="in the coding"):
            decode(coding, content, 3, 500, "file")
    with pytest.raises(FileError, match="in the coding"):
        decode(b"a", content, 12, 500, "file")
