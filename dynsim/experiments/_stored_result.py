"""The result of a task in its folder, with everything that the task depends on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from dynsim._files import read_json, to_json, write_json
from dynsim.errors import FileError


def stored_result(folder, task):
    """What the task came to, if it is finished in `folder`/runs and was the same task; else None."""
    try:
        stored = read_json(_path(folder, task))
    except (FileNotFoundError, FileError):
        return None
    return stored["result"] if stored.get("task") == json.loads(to_json(asdict(task))) else None


def store_result(folder, task, result):
    """Write result.json into the folder of a task; returns the result as it will be read."""
    write_json(_path(folder, task), {"task": asdict(task), "result": result})
    return stored_result(folder, task)


def _path(folder, task):
    return Path(folder) / "runs" / task.name / "result.json"
