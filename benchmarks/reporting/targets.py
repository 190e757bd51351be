"""Where we want to be, and whether we are there: kept and missed alike are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.reporting.figures import Found, Line, best, lines, number, ratio


@dataclass(frozen=True)
class Verdict:
    """A target, what was measured, and whether it is reached."""

    row: str
    target: str
    measured: str
    reached: bool


def verdicts(rows: Mapping[str, Found]) -> list[Verdict]:
    """Hold what was measured against every target that can be told from it."""
    found: list[Verdict] = []
    for judge in (_drain, _workers, _enqueue, _lateness, _memory, _other):
        found += judge({name: lines(row) for name, row in rows.items()})
    return found


Lines = Mapping[str, list[Line]]


def _ours(given: list[Line], case: str = "", name: str = "best") -> Line | None:
    for one in given:
        if one.ours and one.key.endswith(f"/{name}") and case in ("", one.case):
            return one
    return None


def _asyncio(line: Line) -> bool:
    return line.peer and bool(line.told["asynchronous"])


def _said(three: tuple[float, float, float], digits: int = 2) -> str:
    middle, least, most = three
    return f"{middle:.{digits}f} ({least:.{digits}f}–{most:.{digits}f})"


def _compared(
    row: str, target: str, three: tuple[float, float, float] | None, limit: float
) -> Iterator[Verdict]:
    """Judge a ratio that is to be at most the limit; at least, if it is negative."""
    if three is None:
        return
    reached = three[0] >= -limit if limit < 0 else three[0] <= limit
    yield Verdict(row, target, _said(three), reached)


def _drain(rows: Lines) -> Iterator[Verdict]:
    given = rows.get("drain", [])
    ours = _ours(given)
    if ours is None:
        return
    for metric, better, text, limit in (
        ("jobs_per_second", "more", "jobs/s ÷ best asyncio peer ({}) ≥ 8", -8.0),
        ("cpu_us", "less", "CPU a job ÷ best asyncio peer ({}) ≤ 1/7", 1 / 7),
    ):
        peer = best(given, metric, better, _asyncio)
        if peer is not None:
            text = text.format(peer.told["who"])
            yield from _compared("drain", text, ratio(ours, peer, metric), limit)
        keeping = best(
            given,
            metric,
            better,
            lambda one: _asyncio(one) and one.told["outcomes"] != "none kept",
        )
        if keeping is not None and keeping is not peer:
            text = (
                f"the same ÷ best of those that keep outcomes ({keeping.told['who']})"
            )
            yield from _compared("drain", text, ratio(ours, keeping, metric), limit)
    for floor in (one for one in given if one.floor):
        text = "CPU a job ÷ the same writes as a plain pipeline ≤ 2.5"
        yield from _compared("drain", text, ratio(ours, floor, "cpu_us"), 2.5)
    for metric, text, limit in (
        ("commands", "commands a job ≤ 0.2", 0.2),
        ("round_trips", "round trips a job ≤ 0.05", 0.05),
    ):
        value = ours.median(metric)
        if value is not None:
            yield Verdict("drain", text, number(value, 3), value <= limit)


def _workers(rows: Lines) -> Iterator[Verdict]:
    given = rows.get("workers", [])
    one = _ours(given, "1 process")
    for count in (2, 4, 8):
        more = _ours(given, f"{count} processes")
        if one is not None and more is not None:
            text = f"CPU a job with {count} processes ÷ with one ≤ 1.3"
            yield from _compared("workers", text, ratio(more, one, "cpu_us"), 1.3)


def _enqueue(rows: Lines) -> Iterator[Verdict]:
    given = rows.get("enqueue", [])
    ours = _ours(given)
    if ours is None:
        return
    for metric, word in (
        ("bulk_per_second", "`schedule_many`"),
        ("concurrent_per_second", "`schedule` by 50 tasks"),
    ):
        peer = best(given, metric, "more")
        if peer is not None:
            text = f"{word}, jobs/s ÷ best peer ({peer.told['who']}) ≥ 2"
            yield from _compared("enqueue", text, ratio(ours, peer, metric), -2.0)
    for floor in (one for one in given if one.floor):
        text = "one at a time ÷ a bare MULTI/EXEC of the same bytes ≤ 1.5"
        yield from _compared("enqueue", text, ratio(ours, floor, "serial_us"), 1.5)


def _lateness(rows: Lines) -> Iterator[Verdict]:
    three = _ours(rows.get("lateness", []), "3 processes")
    if three is not None and not three.failure:
        yield from _within(
            "lateness", three, "p50_ms", "3 processes: p50 < 1.5 ms", 1.5
        )
        yield from _within("lateness", three, "p99_ms", "3 processes: p99 < 10 ms", 10)
        yield from _none("lateness", three, "3 processes: none twice, none early")
    loops = {"best": "uvloop", "defaults": "asyncio"}
    given = rows.get("memory_lateness", [])
    for name, loop in loops.items():
        ours = _ours(given, name=name)
        floor = next((one for one in given if one.key == f"call_at/{loop}"), None)
        if ours is not None and floor is not None:
            text = f"p99 ÷ `loop.call_at` on {loop} ≤ 2"
            yield from _compared(
                "memory_lateness", text, ratio(ours, floor, "p99_ms"), 2.0
            )
    for count in ("1 process", "3 processes"):
        ours = _ours(rows.get("periodic", []), count)
        if ours is not None and not ours.failure:
            text = f"{count}: p99 < 15 ms"
            yield from _within("periodic", ours, "p99_ms", text, 15)
            missing = min(
                one["metrics"]["done"] - one["metrics"]["jobs"]
                for one in ours.samples
                if "metrics" in one
            )
            text = f"{count}: all there, none twice"
            doubles = max(ours.values("doubles"))
            said = f"{-missing} missing, {doubles:.0f} twice at worst"
            yield Verdict("periodic", text, said, not missing and not doubles)


def _within(
    row: str, line: Line, metric: str, text: str, limit: float
) -> Iterator[Verdict]:
    value = line.median(metric)
    if value is not None:
        yield Verdict(row, text, number(value, 2), value < limit)


def _none(row: str, line: Line, text: str) -> Iterator[Verdict]:
    doubles, early = max(line.values("doubles")), max(line.values("early"))
    said = f"{doubles:.0f} twice, {early:.0f} early at worst"
    yield Verdict(row, text, said, not doubles and not early)


def _memory(rows: Lines) -> Iterator[Verdict]:
    given = rows.get("memory_store", [])
    ours = _ours(given)
    if ours is None:
        return
    peer = next((one for one in given if one.key == "apscheduler3/best"), None)
    if peer is not None:
        text = "jobs/s ÷ APScheduler 3 in memory ≥ 1"
        three = ratio(ours, peer, "jobs_per_second")
        yield from _compared("memory_store", text, three, -1.0)
    text = "bytes a pending job ≤ 700"
    yield from _at_most("memory_store", ours, "bytes_per_job", text, 700)


def _at_most(
    row: str, line: Line, metric: str, text: str, limit: float
) -> Iterator[Verdict]:
    value = line.median(metric)
    if value is not None:
        yield Verdict(row, text, number(value, 3), value <= limit)


def _other(rows: Lines) -> Iterator[Verdict]:
    scale = [one for one in rows.get("scale", []) if one.ours]
    for one in scale:
        case = one.case
        text = f"{case}: bytes a job ≤ 340"
        yield from _at_most("scale", one, "bytes_per_job", text, 340)
        text = f"{case}: idle CPU ≤ 0.1 %"
        yield from _at_most("scale", one, "idle_percent", text, 0.1)
    idle = _ours(rows.get("idle", []))
    if idle is not None:
        text = "≤ 1 command/s"
        yield from _at_most("idle", idle, "commands_per_second", text, 1.0)
        yield from _at_most("idle", idle, "worker_percent", "CPU ≤ 0.1 %", 0.1)
    for one in rows.get("ledger", []):
        for metric, word, limit in (
            ("history_ms", "`history` ≤ 50 ms", 50.0),
            ("why_ms", "`why` ≤ 5 ms", 5.0),
            ("bytes_per_outcome", "bytes an outcome ≤ 100", 100.0),
        ):
            yield from _at_most("ledger", one, metric, f"{one.case}: {word}", limit)
    for one in rows.get("resync", []):
        armed, floor = one.by_round("p50_ms"), one.by_round("floor_p50_ms")
        rates = sorted(armed[key] / floor[key] for key in armed if floor.get(key))
        if rates:
            middle = rates[len(rates) // 2]
            three = (middle, rates[0], rates[-1])
            text = "p50 ÷ that of a bare PUBLISH ≤ 1.5"
            yield from _compared("resync", text, three, 1.5)
    burst = _ours(rows.get("burst", []))
    if burst is not None:
        text = "no process above 40 % of the jobs"
        yield from _at_most("burst", burst, "largest_share", text, 0.4)
