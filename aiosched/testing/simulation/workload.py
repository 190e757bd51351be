"""What a simulated cluster has to do, drawn from its seed: all of it is data.

A few peers, some of them without an executor, a few dozen jobs of every kind,
and people who meddle with them all the while.  Where several choices share a
seed, each has a stream of its own: what is drawn for one does not depend on how
much another took.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aiosched.instants import SECOND, moment
from aiosched.jobs import Job, Retry
from aiosched.testing.simulation.world import stream_of
from aiosched.triggers import (
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
    Trigger,
)

__all__ = ["Act", "PeerPlan", "Terms", "Workload", "draw_workload"]

KEYWORDS = ("red", "green", "blue")
EXECUTORS = ("work", "thread", "rare")
_PERIODS = (1, 2, 3, 5, 8, 13, 30, 60)
_LONGEST = 900.0
_SHORTEST = 40.0
_PER_RUN = 3.6
"""Commits of one run: a claim, an end, and now and then an extension."""

_QUEUES = {
    "interval": ("default", "default", "other"),
    # Where nothing is due by itself, nobody comes by who reads an agenda again.
    "keyword": ("default", "quiet", "quiet"),
}

Terms = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """One peer.

    Attributes:
        executors: Which of them it has.
        places: Runs that it has at a time, at most.
        queues: Which it serves; None: all.
    """

    name: str
    executors: tuple[str, ...]
    places: int
    queues: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """One verb that somebody uses.

    Attributes:
        at: Virtual second.
        who: Name of the node whose scheduler is asked.
        verb: Name of the method.
        job_id: The job, or the keyword of a fire.
        job: What is scheduled.
        options: Further arguments by name.
    """

    at: float
    who: str
    verb: str
    job_id: str
    job: Job | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that a cluster is to do.

    Attributes:
        terms: Of the namespace; durations in seconds.
        jobs: What a client schedules at the beginning.
        declared: What the code of each revision declares.
        acts: What people do, in order.
        seconds: How long it goes on, at most.
        commits: After so many commits nobody does anything more.
    """

    terms: Terms
    peers: tuple[PeerPlan, ...]
    jobs: tuple[Job, ...]
    declared: tuple[tuple[Job, ...], ...]
    acts: tuple[Act, ...]
    seconds: float
    commits: int


def draw_workload(seed: int, start: int, *, commits: int = 1_000) -> Workload:
    """Draw a workload.

    Args:
        seed: Decides everything.
        start: The instant of virtual second 0, in microseconds.
        commits: About how many transactions of records it is to make.
    """
    terms = _terms(stream_of(seed, "terms"))
    peers = _peers(stream_of(seed, "peers"))
    count = stream_of(seed, "jobs").choice((4, 8, 12, 20, 40))
    makers = [_Maker(seed, f"job-{n}", start, terms) for n in range(count)]
    jobs = tuple(maker.make() for maker in makers)
    rate = sum(maker.rate for maker in makers) * _PER_RUN + 0.3
    seconds = min(max(commits / rate, _SHORTEST), _LONGEST)
    return Workload(
        terms,
        peers,
        jobs,
        _declared(seed, start, terms),
        _acts(seed, start, terms, peers, jobs, seconds),
        seconds,
        commits * 4 // 5,
    )


def _terms(chance: random.Random) -> dict[str, Any]:
    beat = chance.choice((1.0, 2.0, 5.0))
    lease = beat * chance.choice((1.5, 3))
    return {
        "beat": beat,
        "lease": lease,
        "member_timeout": beat * 3,
        "steal_delay": chance.choice((0.05, 0.25)),
        "shards": chance.choice((1, 4, 8)),
    }


def _peers(chance: random.Random) -> tuple[PeerPlan, ...]:
    count = chance.choice((3, 3, 4, 5, 6))
    lacking = chance.random() < 0.4
    narrow = chance.random() < 0.2
    plans = []
    for n in range(count):
        names: tuple[str, ...] = EXECUTORS
        if lacking and n % 2:
            names = EXECUTORS[:2]
        places = chance.choice((2, 4)) if narrow else 100
        queues = ("default",) if lacking and n == count - 1 else None
        plans.append(PeerPlan(f"p{n}", names, places, queues))
    return tuple(plans)


class _Maker:
    """Draws one job from a stream of its own."""

    def __init__(self, seed: int, job_id: str, start: int, terms: Terms) -> None:
        self.chance: random.Random = stream_of(seed, f"job/{job_id}")
        self.id: str = job_id
        self.start: int = start
        self.lease: float = terms["lease"]
        self.rate: float = 0.0
        self.ballast: dict[str, str] = _ballast(seed, job_id)

    def make(self, *, at: float = 0.0) -> Job:
        """Draw the job, as one that is scheduled at a virtual second."""
        chance = self.chance
        kind = chance.choices(
            ("interval", "cron", "once", "keyword", "both", "union"),
            (6, 2, 2, 3, 1, 1),
        )[0]
        overlap = chance.choice(("skip", "skip", "queue", "allow", "cancel_previous"))
        seconds = self._length()
        fields: dict[str, Any] = {
            "trigger": None if kind == "keyword" else self._trigger(kind, at, seconds),
            "keyword": chance.choice(KEYWORDS) if kind in ("keyword", "both") else None,
            "overlap": overlap,
            "max_running": chance.choice((1, 2, 3)) if overlap == "allow" else 1,
            "coalesce": chance.choice(("latest", "latest", "earliest", "all")),
            "misfire_grace": chance.choice((None, None, 2, 30)),
            "retry": self._retry(),
            "timeout": chance.choice((None, None, 1.0, self.lease * 1.5)),
            "on_lost": chance.choice(("rerun", "rerun", "record")),
            "max_lost": chance.choice((0, 1, 3, 100)),
            "max_runs": chance.choice((None, None, None, 7))
            if kind != "keyword"
            else None,
            "jitter": chance.choice((0, 0, 0, 0.4)),
            "keep": chance.choice((0, 20, 3_600)),
            "keep_last": chance.choice((0, 2, 10)),
            "queue": chance.choice(_QUEUES.get(kind, _QUEUES["interval"])),
            "kwargs": {"seconds": seconds, "mood": self._mood()} | self.ballast,
        }
        executor = chance.choices(EXECUTORS, (8, 1, 1))[0]
        return Job(executor, id=self.id, **fields)

    def _length(self) -> float:
        chance = self.chance
        if chance.random() < 0.15:
            return round(self.lease * chance.choice((0.8, 1.7, 4)), 3)
        return round(chance.choice((0, 0.01, 0.3, 1.2)) * chance.uniform(0.5, 1.5), 3)

    def _mood(self) -> str:
        """Draw what a job is given to; most do what they are asked."""
        return self.chance.choices(
            ("well", "moody", "stubborn", "blocking", "last"), (10, 4, 1, 1, 1)
        )[0]

    def _retry(self) -> Retry | None:
        chance = self.chance
        if chance.random() < 0.6:
            return None
        delay = chance.choice((0, 0.5, 2))
        return Retry(
            chance.choice((2, 3, 5)), delay=delay, jitter=chance.choice((0, 0.5))
        )

    def _trigger(self, kind: str, at: float, seconds: float) -> Trigger:
        chance = self.chance
        if kind == "once":
            due = at + chance.uniform(-5, 60)
            return DateTrigger(moment(self.start + round(due * SECOND)))
        period = chance.choice(_PERIODS)
        self.rate += 1 / max(period, seconds, 1)
        if kind == "cron":
            return CronTrigger(f"*/{min(period, 30)} * * * * *", seconds="first")
        if kind == "union":
            other = chance.choice(_PERIODS) * 2
            return OrTrigger(
                [
                    IntervalTrigger(seconds=period * 2),
                    IntervalTrigger(seconds=other + 1),
                ]
            )
        return IntervalTrigger(seconds=period)


def _declared(seed: int, start: int, terms: Terms) -> tuple[tuple[Job, ...], ...]:
    """Draw what each revision of the code declares: some jobs change, some go."""
    chance = stream_of(seed, "declared")
    jobs = [_Maker(seed, f"declared-{n}", start, terms).make() for n in range(3)]
    # What is declared goes on for good, so that it has to be there at the end.
    jobs = [
        one.with_changes(max_runs=None, kwargs={"seconds": 0.1, "mood": "moody"})
        for one in jobs
        if not isinstance(one.trigger, DateTrigger)
    ]
    revisions = [tuple(jobs)]
    for number in range(1, 4):
        jobs = [
            one.with_changes(note=f"of revision {number}")
            if chance.random() < 0.5
            else one
            for one in jobs
        ]
        if jobs and chance.random() < 0.3:
            jobs = jobs[1:]
        jobs.append(
            Job(
                "work",
                id=f"declared-since-{number}",
                trigger=IntervalTrigger(seconds=chance.choice((5, 20))),
                kwargs={"seconds": 0.1, "mood": "well"},
            )
        )
        revisions.append(tuple(jobs))
    return tuple(revisions)


_VERBS = (
    ("fire_job", 6),
    ("start_job", 3),
    ("pause", 2),
    ("pause_for", 1),
    ("resume", 3),
    ("modify", 3),
    ("stop_job", 1),
    ("remove_job", 1),
    ("schedule", 2),
    ("again", 1),
    ("backfill", 1),
    ("crowd", 1),
)


def _acts(
    seed: int,
    start: int,
    terms: Terms,
    peers: Sequence[PeerPlan],
    jobs: Sequence[Job],
    seconds: float,
) -> tuple[Act, ...]:
    chance = stream_of(seed, "acts")
    verbs, weights = zip(*_VERBS, strict=True)
    every = chance.choice((0.5, 2.0, 6.0))
    acts: list[Act] = []
    ids = [job.id for job in jobs]
    at = 1.0
    while True:
        at += chance.expovariate(1 / every)
        if at > seconds:
            return tuple(sorted(acts, key=lambda act: act.at))
        verb = chance.choices(verbs, weights)[0]
        who = "client" if chance.random() < 0.6 else chance.choice(peers).name
        number = len(acts)
        if verb == "crowd":
            listening = [job for job in jobs if job.keyword is not None]
            if listening:
                first = Act(round(at, 3), who, verb, "")
                acts += _crowd(number, first, chance.choice(listening))
            continue
        acts.append(_act(seed, chance, verb, number, at, who, ids, jobs, start, terms))


def _act(
    seed: int,
    chance: random.Random,
    verb: str,
    number: int,
    at: float,
    who: str,
    ids: list[str],
    jobs: Sequence[Job],
    start: int,
    terms: Terms,
) -> Act:
    at = round(at, 3)
    job_id = chance.choice(ids)
    match verb:
        case "fire_job":
            options: dict[str, Any] = {
                "payload": {"n": number} | _ballast(seed, number)
            }
            options["ttl"] = chance.choice((None, None, 3.0))
            options["fire_id"] = f"fire-{number}"
            return Act(at, who, verb, chance.choice(KEYWORDS), None, options)
        case "pause_for":
            until = timedelta(seconds=chance.choice((1, 7)))
            return Act(at, who, "pause", job_id, None, {"until": until})
        case "schedule":
            new = _Maker(seed, f"new-{number}", start, terms).make(at=at)
            ids.append(new.id)
            return Act(at, who, verb, new.id, new)
        case "again":
            job = chance.choice(jobs)
            options = {"on_conflict": chance.choice(("replace", "keep", "raise"))}
            options["again"] = chance.random() < 0.5
            return Act(at, who, "schedule", job.id, job, options)
        case "backfill":
            since = moment(start + round((at - 20) * SECOND))
            options = {"since": since, "max_running": chance.choice((1, 3))}
            options["id"] = f"backfill-{number}"
            return Act(at, who, verb, job_id, None, options)
        case "modify":
            return Act(at, who, verb, job_id, None, _changes(chance, number))
        case _:
            return Act(at, who, verb, job_id)


def _ballast(seed: int, name: object) -> dict[str, str]:
    """Draw what makes some arguments so large that a store may keep them apart."""
    size = stream_of(seed, f"ballast/{name}").choice((0, 0, 0, 1_500, 6_000))
    return {"ballast": "x" * size} if size else {}


def _crowd(number: int, first: Act, job: Job) -> list[Act]:
    """Have firings wait at a job, pause it before they start, and resume it."""
    at, who, word = first.at, first.who, str(job.keyword)
    fires = [
        Act(
            round(at + n / 1_000, 3),
            who,
            "fire_job",
            word,
            None,
            {"payload": {"n": n}, "fire_id": f"crowd-{number}-{n}"},
        )
        for n in range(4)
    ]
    pause = Act(round(at + 0.012, 3), who, "pause", job.id)
    return [*fires, pause, Act(round(at + 4.0, 3), who, "resume", job.id)]


def _changes(chance: random.Random, number: int) -> dict[str, Any]:
    """Draw what a modification changes."""
    return chance.choice(
        (
            {"note": f"modification {number}"},
            {"trigger": IntervalTrigger(seconds=chance.choice(_PERIODS))},
            {"max_running": chance.choice((1, 2))},
            {"overlap": chance.choice(("skip", "queue", "allow"))},
            {"kwargs": {"seconds": 0.2, "mood": "well"}},
            {"queue": chance.choice(("default", "other"))},
            {"timeout": chance.choice((None, 1.0))},
            {"executor": chance.choice(EXECUTORS)},
        )
    )
