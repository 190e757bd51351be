"""What the next fire time costs: ours, croniter's and cronsim's, in the same rounds.

    python benchmarks/triggers.py                      a table
    python benchmarks/triggers.py --check              and whether our limits hold
    python benchmarks/triggers.py --json FILE          the figures as data
    python benchmarks/triggers.py --page FILE --from J the page's part, from data

Every round asks everyone once, in turn, so that a busy moment of the machine hurts
all alike; and it is the process's own time that counts, not what others took of the
processor.  Shown are the median of the rounds and, behind it, the fastest and the
slowest.  The exit code says nothing about speed: machines differ.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from aiosched import CronTrigger, IntervalTrigger
from aiosched.instants import micros

SHARED = (
    "*/5 * * * *",
    "0 9 * * mon-fri",
    "30 2 * * *",
    "0 0 L * *",
    "* * * * *",
)
ZONE = "Europe/Berlin"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
JOBS = 1_000
LIMITS = {"shared": 3.0, "fresh": 60.0}
BEGIN, END = "<!-- triggers: begin -->", "<!-- triggers: end -->"

# A contender works and answers how many operations that were.
Contender = Callable[[], int]
Row = dict[str, Any]


# --- a thousand jobs share an expression -----------------------------------------


def ours_shared(expression: str) -> Contender:
    """A thousand triggers, each asked for its next slots, as planning asks."""
    triggers = [CronTrigger(expression, tz=ZONE) for _ in range(JOBS)]

    def run() -> int:
        slot = micros(NOW)
        for _step in range(5):
            following = slot
            for trigger in triggers:
                following = trigger.next(slot) or 0
            slot = following
        return 5 * JOBS

    return run


def ours_datetimes(expression: str) -> Contender:
    """The same through the door for people, with aware datetimes."""
    triggers = [CronTrigger(expression, tz=ZONE) for _ in range(JOBS)]

    def run() -> int:
        for trigger in triggers:
            trigger.next_fire_time(NOW)
        return JOBS

    return run


def croniter_fresh(expression: str) -> Contender:
    """An object for each question, which keeps no state between fires."""
    now = NOW.astimezone(ZoneInfo(ZONE))

    def run() -> int:
        for _step in range(200):
            croniter(expression, now).get_next(datetime)
        return 200

    return run


def croniter_reused(expression: str) -> Contender:
    """One object that goes on."""
    now = NOW.astimezone(ZoneInfo(ZONE))

    def run() -> int:
        one = croniter(expression, now)
        for _step in range(200):
            one.get_next(datetime)
        return 200

    return run


def cronsim_fresh(expression: str) -> Contender:
    """An object for each question."""
    now = NOW.astimezone(ZoneInfo(ZONE))

    def run() -> int:
        for _step in range(200):
            next(CronSim(expression, now))
        return 200

    return run


def cronsim_reused(expression: str) -> Contender:
    """One object that goes on."""
    now = NOW.astimezone(ZoneInfo(ZONE))

    def run() -> int:
        return sum(1 for _ in islice(CronSim(expression, now), 200))

    return run


# --- an expression that nobody has seen -------------------------------------------


def unseen() -> Iterator[str]:
    """Write expressions, each once."""
    for hour in range(24):
        for minute in range(60):
            day = (hour * 7 + minute) % 28 + 1
            yield f"{minute} {hour} * * *"
            yield f"{minute} {hour} * * mon-fri"
            yield f"{minute} {hour} {day} * *"
            yield f"{minute},{(minute + 30) % 60} {hour} * * *"


def fresh(
    ask: Callable[[str, datetime], object],
    expressions: Iterator[str],
    *,
    far: bool = False,
) -> Contender:
    """Ask about expressions that are new; ``far``: about months that are, too."""
    months = (NOW + timedelta(days=101 * number) for number in count(50))

    def run() -> int:
        for expression in islice(expressions, 40):
            ask(expression, next(months) if far else NOW)
        return 40

    return run


def ask_ours(expression: str, after: datetime) -> object:
    """Build a trigger and ask for its first fire time."""
    return CronTrigger(expression, tz=ZONE).next_fire_time(after)


def ask_croniter(expression: str, after: datetime) -> object:
    """Build an iterator and ask for its first fire time."""
    local = after.astimezone(ZoneInfo(ZONE))
    return croniter(expression, local).get_next(datetime)


def ask_cronsim(expression: str, after: datetime) -> object:
    """Build an iterator and ask for its first fire time."""
    return next(CronSim(expression, after.astimezone(ZoneInfo(ZONE))))


def seen(expression: str) -> Contender:
    """Build a trigger of an expression that is known, and ask it."""

    def run() -> int:
        for _step in range(200):
            CronTrigger(expression, tz=ZONE).next(micros(NOW))
        return 200

    return run


# --- ten years of absence ----------------------------------------------------------


def absence(trigger: CronTrigger | IntervalTrigger, question: str) -> Contender:
    """Ask about all slots of ten years at once."""
    high = micros(NOW)
    low = micros(NOW - timedelta(days=3652))
    given = (high,) if question == "last" else (low, high)

    def run() -> int:
        ask = getattr(trigger, question)
        for _step in range(100):
            ask(*given)
        return 100

    return run


def one_day(expression: str) -> Contender:
    """Have croniter list the slots of one day; the operation is the day."""
    begin = NOW.astimezone(ZoneInfo(ZONE))
    end = begin + timedelta(days=1)

    def run() -> int:
        one = croniter(expression, begin)
        while one.get_next(datetime) < end:
            pass
        return 1

    return run


# --- measuring ---------------------------------------------------------------------


def plan() -> list[tuple[str, str, str, Contender]]:
    """List who is asked what: group, case, contender, and what runs."""
    found: list[tuple[str, str, str, Contender]] = []
    for text in SHARED:
        found += [
            ("shared", text, "aiosched", ours_shared(text)),
            ("shared", text, "aiosched, datetimes", ours_datetimes(text)),
            ("shared", text, "croniter, one object", croniter_reused(text)),
            ("shared", text, "croniter, new objects", croniter_fresh(text)),
            ("shared", text, "cronsim, one object", cronsim_reused(text)),
            ("shared", text, "cronsim, new objects", cronsim_fresh(text)),
        ]
    # One supply for all: nobody profits from what another has asked.
    texts = unseen()
    for case, far in (("zone known", False), ("clock changes not yet looked up", True)):
        found += [
            ("fresh", case, "aiosched", fresh(ask_ours, texts, far=far)),
            ("fresh", case, "croniter", fresh(ask_croniter, texts, far=far)),
            ("fresh", case, "cronsim", fresh(ask_cronsim, texts, far=far)),
        ]
    found.append(("fresh", "expression known", "aiosched", seen(SHARED[1])))
    second = IntervalTrigger(seconds=1, start=datetime(2000, 1, 1, tzinfo=UTC))
    watched: list[tuple[str, CronTrigger | IntervalTrigger]]
    watched = [("every second", second)]
    watched += [(text, CronTrigger(text, tz=ZONE)) for text in ("* * * * *", SHARED[1])]
    for text, trigger in watched:
        for question in ("count", "last", "reach"):
            name = f"aiosched, {question} over ten years"
            found.append(("absence", text, name, absence(trigger, question)))
        if text != "every second":
            name = "croniter, listing a single day"
            found.append(("absence", text, name, one_day(text)))
    return found


def measure(rounds: int) -> dict[str, Any]:
    """Ask everyone in each round, and return the figures in microseconds."""
    contenders = plan()
    for *_, run in contenders:
        run()  # what is made once is not measured
    # Thousands of triggers wait for their turn: nobody is to sweep around them.
    gc.collect()
    gc.freeze()
    taken: list[list[float]] = [[] for _ in contenders]
    before = os.getloadavg()
    for _ in range(rounds):
        for found, (*_, run) in zip(taken, contenders, strict=True):
            begin = process_time()
            operations = run()
            found.append((process_time() - begin) / operations * 1e6)
    rows: list[Row] = [
        {
            "group": group,
            "case": case,
            "who": who,
            "median": round(median(found), 2),
            "low": round(min(found), 2),
            "high": round(max(found), 2),
        }
        for found, (group, case, who, _) in zip(taken, contenders, strict=True)
    ]
    return {
        "rounds": rounds,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(one, 2) for one in (before[0], os.getloadavg()[0])],
        "versions": {name: version(name) for name in ("croniter", "cronsim")},
        "rows": rows,
    }


# --- telling -----------------------------------------------------------------------

TITLES = {
    "shared": f"Next fire time where {JOBS:,} jobs share an expression, in {ZONE}",
    "fresh": f"First fire time of an expression that is new, in {ZONE}",
    "absence": "Ten years of absence",
}


def table(figures: dict[str, Any]) -> str:
    """Write the figures as Markdown."""
    loads = " to ".join(map(str, figures["load"]))
    known = ", ".join(f"{name} {one}" for name, one in figures["versions"].items())
    lines = [
        f"Microseconds of processor time: the median of {figures['rounds']} rounds, "
        "behind it the fastest and the slowest.",
        f"CPython {figures['python']}, {figures['machine']}, load {loads}; {known}.",
    ]
    for group, title in TITLES.items():
        lines += ["", f"### {title}", "", "| | who | µs | of rounds | times ours |"]
        lines.append("| --- | --- | ---: | ---: | ---: |")
        ours: dict[str, float] = {}
        for row in (row for row in figures["rows"] if row["group"] == group):
            base = ours.setdefault(row["case"], row["median"])
            lines.append(
                f"| `{row['case']}` | {row['who']} | {row['median']:.2f} | "
                f"{row['low']:.2f}–{row['high']:.2f} | {row['median'] / base:.1f} |"
            )
    return "\n".join(lines)


def verdicts(figures: dict[str, Any]) -> list[str]:
    """Hold our medians against our limits."""
    lines = []
    for row in figures["rows"]:
        limit = LIMITS.get(row["group"])
        if limit is None or row["who"] != "aiosched":
            continue
        word = "within" if row["median"] <= limit else "over"
        lines.append(
            f"{word}: {row['group']}, {row['case']}: {row['median']:.2f} µs, "
            f"limit {limit:.0f} µs"
        )
    return lines


def put(page: Path, text: str) -> None:
    """Put the text between the marks of a page."""
    whole = page.read_text(encoding="utf-8")
    head, _, rest = whole.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


def main(words: list[str] | None = None) -> None:
    """Measure, or read what was measured, and tell it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="at least 5")
    parser.add_argument("--check", action="store_true", help="hold against our limits")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--from", type=Path, dest="source", help="read them instead")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    chosen = parser.parse_args(words)
    if chosen.source is None:
        figures = measure(max(chosen.rounds, 5))
    else:
        figures = json.loads(chosen.source.read_text(encoding="utf-8"))
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    text = table(figures)
    if chosen.page is not None:
        put(chosen.page, text)
    print(text)
    if chosen.check:
        print("", *verdicts(figures), sep="\n")


if __name__ == "__main__":
    main()
