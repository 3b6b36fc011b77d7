"""Networks that no machine holds are refused before memory is taken; those that it does hold are built."""

import os

import pytest

from dynsim.errors import FileError
from dynsim.models import build, check_size, compact, lenet5, mlp, numbers, vit


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


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 10**10},
        {"image": [10**9, 28, 28]},
        {"depth": 300_000, "pools": [], "channels": 1, "copies": 1, "dim": 1},
        {"weights": True, "rank": 1000, "channels": 6000},
        {"copies": 10**6, "channels": 1},
    ],
    ids=str,
)
def test_small_files_do_not_ask_for_large_compact_networks(changes):
    config = {**compact(channels=4, copies=2).config, **changes}
    with pytest.raises((FileError, ValueError), match=r"numbers|memory"):
        check_size(config, stored=4 * 2**15)


def test_the_least_of_a_compact_network_is_not_above_what_it_stores():
    for options in (
        *({"sets": sets, "populations": n} for sets in ("one", "half", "full") for n in (0, 1, 9)),
        *({"form": "separable", "populations": n} for n in (0, 2)),
        *({"weights": True, "form": form, "rank": rank} for form in ("whole", "separable") for rank in (None, 1, 99)),
    ):
        model = compact(channels=5, copies=2, **options)
        check_size(model.config, stored=4 * numbers(model))
