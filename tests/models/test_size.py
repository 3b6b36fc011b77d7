"""Networks that no machine holds are refused before memory is taken; those that it does hold are built."""

import os

import pytest

from dynsim.models import build, lenet5, mlp, vit


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """One of 4 GiB."""
    told, pages = os.sysconf, 2**32 // os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else told(name))


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (mlp, {"widths": (784, 10**9, 10)}, r"widths \[784, 1000000000, 10\]"),
        (mlp, {"widths": (2**63, 10)}, "widths"),
        (mlp, {"widths": (10**70, 10**70)}, "more GiB than any machine has"),
        (mlp, {"widths": (4, 2), "copies": 10**9}, "copies 1000000000"),
        (mlp, {"widths": (4, 2), "dim": 10**9}, "dim 1000000000"),
        (mlp, {"widths": (10**5, 10**5), "weights": True}, "widths"),
        (mlp, {"widths": (10**5, 10**5), "weights": True, "rank": 2}, "widths"),
        (mlp, {"widths": [10**4] * 20, "weights": True}, "widths"),
        (lenet5, {"copies_fc": 10**9}, "copies_fc 1000000000"),
        (lenet5, {"copies_conv": 10**9}, "copies_conv 1000000000"),
        (lenet5, {"dim": 10**9}, "dim 1000000000"),
        *((vit, {name: 10**9}, name) for name in ("channels", "depth", "hidden", "classes", "copies", "dim")),
        (vit, {"width": 4 * 10**8}, "width 400000000"),
        (vit, {"image": 7 * 10**7}, "image 70000000"),
        (vit, {"hidden": 10**8, "weights": True}, "hidden 100000000"),
        (vit, {"depth": 10**7, "width": 1, "heads": 1, "hidden": 1, "weights": True}, "depth 10000000"),
    ],
)
def test_more_than_the_memory_is_refused(make, options, words):
    with pytest.raises(ValueError, match=rf"{make.__name__} of .*{words}.*; expected at most 4\.0 GiB"):
        make(**options)


def test_a_configuration_is_refused_as_its_network_is():
    with pytest.raises(ValueError, match=r"mlp of widths \[4, 1000000000\], copies 1, dim 2: got"):
        build({"model": "mlp", "widths": [4, 10**9], "copies": 1, "dim": 2})


def test_a_rank_or_copies_beyond_what_is_there_cost_nothing():
    assert lenet5(weights=True, rank=10**9, copies_fc=10**3).config["rank"] == 10**9
