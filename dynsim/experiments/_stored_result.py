"""The folder of a task, and its result there with everything that the task depends on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from dynsim._files import read_json, to_json, write_json
from dynsim.errors import FileError


class StoredTask:
    """A dataclass with a `name`; its result, a dictionary with the keys `needed`, is kept in a folder of that name."""

    needed = frozenset()  # by the report

    def place(self, folder: str | Path) -> Path:
        """Return the task's own folder, which is made if it is not there."""
        place = Path(folder) / "runs" / self.name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def result(self, folder: str | Path) -> dict | None:
        """What it came to, if it is finished and was the same task; else None."""
        try:
            stored = read_json(Path(folder) / "runs" / self.name / "result.json")
        except (FileNotFoundError, FileError):
            return None
        if not isinstance(stored, dict) or _said(stored.get("task")) != _said(json.loads(to_json(asdict(self)))):
            return None
        result = stored.get("result")
        return result if isinstance(result, dict) and result.keys() >= self.needed else None

    def store(self, folder: str | Path, result: dict) -> dict:
        """Write result.json into its folder; returns the result as it will be read."""
        write_json(self.place(folder) / "result.json", {"task": asdict(self), "result": result})
        return self.result(folder)


def _said(task):
    """A task without what it does not say, so that a new field that may be None makes no other task of an old one."""
    return {key: value for key, value in task.items() if value is not None} if isinstance(task, dict) else None
