"""A search on paper: one line of JSON a seed, so that it can be cut and resumed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiosched.testing.simulation.cases import Case, CaseReport, Finding
from aiosched.testing.simulation.incidents import parse_incidents, show_incidents

__all__ = ["Logbook"]


class Logbook:
    """What came of each case, in a file that only grows.

    A line that was cut off in the middle is passed over: its seed is run again.
    Lines of another code of the product say nothing of this one; a search after
    a change begins a new file.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist yet."""
        self.path: Path = path
        self._lines: Any = None

    def reports(self) -> Iterator[CaseReport]:
        """Yield what the file tells, oldest first; without traces.

        Raises:
            OSError: It cannot be read; a missing file tells nothing.
        """
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    yield _report(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    continue

    def write(self, report: CaseReport) -> None:
        """Add a report, and see that it is in the file on return.

        Raises:
            OSError: It cannot be written.
        """
        if self._lines is None:
            whole = not self.path.exists() or _ends_whole(self.path)
            self._lines = self.path.open("a", encoding="utf-8")
            if not whole:
                self._lines.write("\n")
        self._lines.write(json.dumps(_data(report), separators=(",", ":")) + "\n")
        self._lines.flush()

    def close(self) -> None:
        """Let go of the file; safe to call again."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as data:
        size = data.seek(0, 2)
        if not size:
            return True
        data.seek(size - 1)
        return data.read() == b"\n"


def _data(report: CaseReport) -> dict[str, Any]:
    case = report.case
    return {
        "seed": case.seed,
        "store": case.store,
        "commits": case.commits,
        "shards": case.shards,
        "planted": case.planted,
        "incidents": show_incidents(case.incidents or ()),
        "findings": [
            [one.second, one.rule, one.job_id, one.text] for one in report.findings
        ],
        "counts": dict(sorted(report.counts.items())),
        "digest": report.digest,
        "virtual": round(report.virtual, 3),
        "seconds": round(report.seconds, 3),
    }


def _report(data: dict[str, Any]) -> CaseReport:
    """Read what :func:`_data` wrote.

    Raises:
        ValueError: It is something else.
        KeyError: Something is missing.
        TypeError: It is something else.
    """
    case = Case(
        int(data["seed"]),
        data["store"],
        parse_incidents(data["incidents"]),
        data["planted"],
        int(data["commits"]),
        shards=data.get("shards"),
    )
    return CaseReport(
        case,
        tuple([Finding(*one) for one in data["findings"]]),
        Counter(data["counts"]),
        str(data["digest"]),
        (),
        float(data["virtual"]),
        float(data["seconds"]),
    )
