"""Two reports of benchmarks beside each other, such as those of two commits on one machine."""

from __future__ import annotations

import math

PEERS = ("keops", "matrix", "native", "scipy_numpy", "jitcdde", "ddeint", "blas")
MEASURED = ("lanes", "degree")  # whole numbers that are no part of what was asked for


def compare_runs(before: list[dict], after: list[dict]) -> list[dict]:
    """Seconds of every contestant that both reports have, and their ratio, after over before.

    Parameters
    ----------
    before, after : list of dict
        What `measure` returned for some benchmarks.

    Returns
    -------
    list of dict
        `benchmark`, `case`, `contestant`, `before`, `after`, `ratio`, and whether it is a `peer`.

    Examples
    --------
    >>> one = [{"benchmark": "pairs", "rows": [{"d": 3, "ours": {"seconds": 2.0}}]}]
    >>> other = [{"benchmark": "pairs", "rows": [{"d": 3, "ours": {"seconds": 3.0}}]}]
    >>> [(row["case"], row["contestant"], row["ratio"]) for row in compare_runs(one, other)]
    [('d 3', 'ours', 1.5)]
    """
    earlier, later = _seconds(before), _seconds(after)
    return [
        {"benchmark": benchmark, "case": case, "contestant": contestant, "before": earlier[key], "after": seconds,
         "ratio": seconds / earlier[key], "peer": contestant in PEERS or contestant.startswith("torch")}
        for key, seconds in later.items()
        if key in earlier
        for benchmark, case, contestant in (key,)
    ]  # fmt: skip


def in_one_only(before: list[dict], after: list[dict]) -> list[dict]:
    """What only one of two reports has, which therefore is not compared: `benchmark`, `case`, `contestant`, `report`.

    >>> one = [{"benchmark": "pairs", "rows": [{"d": 3, "ours": {"seconds": 2.0}}]}]
    >>> in_one_only(one, [])
    [{'benchmark': 'pairs', 'case': 'd 3', 'contestant': 'ours', 'report': 'before'}]
    """
    earlier, later = _seconds(before), _seconds(after)
    alone = [(key, "before") for key in earlier if key not in later]
    alone += [(key, "after") for key in later if key not in earlier]
    return [dict(zip(("benchmark", "case", "contestant", "report"), (*key, name), strict=True)) for key, name in alone]


def _seconds(reports):
    """{(benchmark, case, contestant): seconds}; a case is what a row says in words and whole numbers."""
    found = {}
    for report in reports:
        for row in report["rows"]:
            named = {key: value for key, value in row.items() if isinstance(value, str | int) and key not in MEASURED}
            case = " ".join(str(value) if key == "case" else f"{key} {value}" for key, value in named.items())
            contestants = {key: value for key, value in row.items() if isinstance(value, dict)}
            for contestant, result in {**contestants, "step": row}.items():
                seconds = result.get("seconds")
                if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds > 0:
                    found[report["benchmark"], case, contestant] = float(seconds)
    return found
