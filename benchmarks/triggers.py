"""What the next fire time costs: ours, croniter's and cronsim's, in the same rounds.

    python benchmarks/triggers.py                      a table
    python benchmarks/triggers.py --check              and whether our limits hold
    python benchmarks/triggers.py --json FILE          the figures as data
    python benchmarks/triggers.py --page FILE --from J the page's part, from data

Every round asks everyone once, in turn, so that a busy moment of the machine hurts
all alike; and it is the process's own time that counts, not what others took of the
processor.  Shown are the median of the rounds and, behind it, the fastest and the
slowest.  With ``--check`` the exit code is 1 if a limit of ours is missed: a median
must be within it or, for machines differ, within three times a floor that was taken
in the same rounds, which is what a bare pydantic model of as many fields and the
conversion of one datetime cost.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import count, cycle, islice, permutations
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim
from pydantic import ConfigDict, create_model

from aiosched import CronTrigger, IntervalTrigger
from aiosched.instants import micros
from aiosched.triggers.cronparts import MONTHS, WEEKDAYS

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
FRESH_ASKED = 40
LIMITS = {"shared": 3.0, "fresh": 60.0}
FLOORS = 3
FLOOR = "floor: a model and a datetime"
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
    """Write expressions with fixed times, each once."""
    for hour in range(24):
        for minute in range(60):
            day = (hour * 7 + minute) % 28 + 1
            yield f"{minute} {hour} * * *"
            yield f"{minute} {hour} * * mon-fri"
            yield f"{minute} {hour} {day} * *"
            yield f"{minute},{(minute + 30) % 60} {hour} * * *"


def unseen_steps() -> Iterator[str]:
    """Write ``*/n`` and ``a/n``, no two with the same field of minutes."""
    yield from (f"*/{step} * * * *" for step in range(2, 60))
    for low in range(1, 58):
        for step in range(2, 58):
            yield f"{low}/{step} */{low % 11 + 2} * * *"


def unseen_ranges() -> Iterator[str]:
    """Write ``a-b`` and ``a-b/n``, no two with the same field of minutes."""
    for low in range(50):
        for high in range(low + 1, 60):
            until = 23 if high % 2 else low % 12 + 11
            yield f"{low}-{high} * * * *"
            yield f"{low}-{high}/2 {low % 12}-{until} * * *"


def unseen_lists() -> Iterator[str]:
    """Write lists, no two with the same field of minutes."""
    for one in range(20):
        for two in range(20, 40):
            for three in range(41, 60):
                yield f"{one},{two},{three} {one},{two % 24} * * *"
                yield f"{one}-{two},{three} 1,{two % 5 + 2}-{three % 10 + 9} * * *"


def unseen_names() -> Iterator[str]:
    """Write ranges and lists of names, no two with the same field of months."""
    days = cycle([*permutations(WEEKDAYS, 3), *permutations(WEEKDAYS, 2)])
    for low, high, other in permutations(MONTHS, 3):
        day = ",".join(next(days))
        yield f"30 9 * {low},{high},{other} {day}"
        if MONTHS.index(low) < MONTHS.index(high):
            yield f"0 9 * {low}-{high},{other} mon-fri"


FRESH: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
    ("fixed times", unseen),
    ("steps: */n, a/n", unseen_steps),
    ("ranges: a-b, a-b/n, a-23", unseen_ranges),
    ("lists", unseen_lists),
    ("names: jan-mar,dec mon-fri", unseen_names),
)


BARE = create_model(
    "Bare",
    __config__=ConfigDict(frozen=True),
    kind=(str, "bare"),
    expression=(str, ...),
    tz=(str, "UTC"),
    seconds=(str | None, None),
    start=(datetime | None, None),
    end=(datetime | None, None),
    day_or=(bool, True),
    gap=(str | None, None),
    fold=(str | None, None),
)
"""As many fields as a cron trigger, and nothing to do."""


def floor() -> Contender:
    """Build a bare model, and turn an instant into local time."""

    def run() -> int:
        zone = ZoneInfo(ZONE)
        for _step in range(200):
            BARE(
                expression="0 9 * * *",
                tz=ZONE,
                seconds=None,
                start=None,
                end=None,
                day_or=True,
                gap=None,
                fold=None,
            )
            NOW.astimezone(zone)
        return 200

    return run


def fresh(
    ask: Callable[[str, datetime], object],
    expressions: Iterator[str],
    *,
    far: bool = False,
) -> Contender:
    """Ask about expressions that are new; ``far``: about months that are, too."""
    months = (NOW + timedelta(days=101 * number) for number in count(50))

    def run() -> int:
        some = list(islice(expressions, FRESH_ASKED))
        if len(some) < FRESH_ASKED:
            raise SystemExit("there are no more new expressions: take fewer rounds")
        for expression in some:
            ask(expression, next(months) if far else NOW)
        return FRESH_ASKED

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
    # One supply of each form for all: nobody profits from what another has asked.
    for case, supply in FRESH:
        texts = supply()
        asked = [(case, False)]
        if supply is unseen:
            asked.append(("clock changes not yet looked up", True))
        for name, far in asked:
            found += [
                ("fresh", name, "aiosched", fresh(ask_ours, texts, far=far)),
                ("fresh", name, "croniter", fresh(ask_croniter, texts, far=far)),
                ("fresh", name, "cronsim", fresh(ask_cronsim, texts, far=far)),
            ]
    found.append(("fresh", "(nothing)", FLOOR, floor()))
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


def verdicts(figures: dict[str, Any]) -> tuple[list[str], bool]:
    """Hold our medians against our limits; False: one is missed."""
    lines = []
    kept = True
    [floor] = [row["median"] for row in figures["rows"] if row["who"] == FLOOR]
    for row in figures["rows"]:
        limit = LIMITS.get(row["group"])
        if limit is None or row["who"] != "aiosched":
            continue
        word, most = "within", limit
        if row["group"] == "fresh":
            most = max(limit, FLOORS * floor)
        if row["median"] > limit:
            word = "within three floors" if row["median"] <= most else "over"
        kept = kept and row["median"] <= most
        lines.append(
            f"{word}: {row['group']}, {row['case']}: {row['median']:.2f} µs, "
            f"limit {limit:.0f} µs, floor {floor:.2f} µs"
        )
    return lines, kept


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
        lines, kept = verdicts(figures)
        print("", *lines, sep="\n")
        if not kept:
            sys.exit(1)


if __name__ == "__main__":
    main()
