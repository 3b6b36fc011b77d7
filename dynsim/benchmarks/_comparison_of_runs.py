"""Two reports of benchmarks beside each other, such as those of two commits on one machine."""

from __future__ import annotations

import math

PEERS = ("keops", "matrix", "native", "scipy_numpy", "jitcdde", "ddeint", "blas")
MEASURED = ("lanes",)  # whole numbers that are no part of what was asked for


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
