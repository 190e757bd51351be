"""How a demo ended: its books, as text, as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from aiosched.cli.balance import Balance, Problem, percentile
from aiosched.cli.progress import Progress

__all__ = ["Report", "milliseconds", "print_json"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a demo.

    Attributes:
        progress: How it stood.
        books: One balance a job.
        served: Requests that the HTTP server answered.
    """

    progress: Progress
    books: list[Balance]
    served: int

    @property
    def problems(self) -> list[Problem]:
        """Everything that does not add up."""
        return [problem for book in self.books for problem in book.problems]

    @property
    def ok(self) -> bool:
        """Whether each firing ran once and every sum comes out."""
        return bool(self.books) and not self.problems

    @property
    def lateness(self) -> list[float]:
        """Seconds from fire time to first start, over all jobs, sorted."""
        return sorted(late for book in self.books for late in book.lateness)

    @property
    def entries(self) -> Counter[str]:
        """Peer's name to how many starts the witness saw there."""
        total: Counter[str] = Counter()
        for book in self.books:
            total.update(book.peers)
        return total

    def book_lines(self) -> list[str]:
        """Return one line a job: both sums, the witness and the lateness."""
        width = max(len(book.expected.job_id) for book in self.books)
        return [f"{book.expected.job_id:{width}}  {_sums(book)}" for book in self.books]

    def summary(self) -> list[str]:
        """Return what is to be said of all jobs together."""
        slots = sum(book.slots for book in self.books)
        starts = sum(book.starts for book in self.books)
        again = sum(book.again for book in self.books)
        lost = sum(book.lost for book in self.books)
        outcomes = sum(book.counts.outcomes for book in self.books)
        lines = [
            f"slots     {slots} counted by the triggers, "
            f"{sum(book.counts.slots for book in self.books)} in the ledger",
            f"witness   {starts} starts seen by the executors for {outcomes} firings; "
            f"{again} of them further attempts ({lost} after a peer's death)",
            f"server    {self.served} HTTP requests answered",
            f"lateness  {_percentiles(self.lateness)}",
        ]
        if self.progress.peers:
            entries = self.entries
            each = ", ".join(
                f"{row.name}{' (killed)' if row.state == 'killed' else ''} "
                f"{entries[row.name]}"
                for row in self.progress.peers.values()
            )
            lines.append(f"peers     starts on {each}")
        return lines

    def verdict(self) -> list[str]:
        """Return the last lines: that all is well, or what is not."""
        if self.ok:
            return ["Each firing ran once: none is missing, none doubled."]
        problems = self.problems
        lines = [
            f"{problem.fault.upper()}  {problem.job_id}: {problem.text}"
            for problem in problems[:_SHOWN]
        ]
        if len(problems) > _SHOWN:
            lines.append(f"… and {len(problems) - _SHOWN} more")
        return [*lines, f"The ledger does not add up: {len(problems)} problems."]

    def data(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "ok": self.ok,
            "store": self.progress.store,
            "jobs": [_data(book) for book in self.books],
            "lateness_ms": _lateness_data(self.lateness),
            "http_requests": self.served,
            "peers": [
                {
                    "name": row.name,
                    "pid": row.pid,
                    "id": row.id,
                    "state": row.state,
                    "starts": self.entries[row.name],
                }
                for row in self.progress.peers.values()
            ],
            "problems": [asdict(problem) for problem in self.problems],
        }


def print_json(report: Report) -> None:
    """Print a report as one JSON object."""
    print(json.dumps(report.data(), indent=2, ensure_ascii=False))


def milliseconds(seconds: float | None) -> str:
    """Return a lateness for people; a dash for none."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _sums(book: Balance) -> str:
    counts = book.counts
    slots = (
        f"{book.slots} slots = {counts.fired} fired + {counts.skipped} skipped + "
        f"{counts.missed} missed + {counts.excluded} excluded + {counts.paused} paused"
    )
    outcomes = (
        f"{counts.fired} fired + {counts.asked} asked = "
        f"{counts.outcomes} outcomes + {book.open} open"
    )
    mark = "adds up" if not book.problems else "DOES NOT ADD UP"
    starts = f"{book.starts} starts" + (f" ({book.again} again)" if book.again else "")
    late = _percentiles(book.lateness)
    return f"{slots}; {outcomes}; {starts}; late {late}; {mark}"


def _percentiles(lateness: list[float]) -> str:
    p50, p99 = (milliseconds(percentile(lateness, share)) for share in (0.5, 0.99))
    return f"p50 {p50} ms, p99 {p99} ms"


def _lateness_data(lateness: list[float]) -> dict[str, float | int | None]:
    data: dict[str, float | int | None] = {"count": len(lateness)}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        value = percentile(lateness, share)
        data[name] = None if value is None else round(value * 1000, 3)
    return data


def _data(book: Balance) -> dict[str, Any]:
    return {
        "id": book.expected.job_id,
        "kind": book.expected.kind,
        "trigger_slots": book.slots,
        "slots": book.counts.slots,
        **asdict(book.counts),
        "outcomes": book.counts.outcomes,
        "open": book.open,
        "starts": book.starts,
        "further_attempts": book.again,
        "lost_attempts": book.lost,
        "starts_by_peer": dict(book.peers),
        "lateness_ms": _lateness_data(book.lateness),
        "ok": not book.problems,
    }
