"""The same drain by several worker processes: what a job costs beside one."""

from __future__ import annotations

from functools import partial

from benchmarks.comparisons.drain import drain
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.rounds import Case, Options

NAME = "workers"
TITLE = "The same with several worker processes"
PROCESSES = (1, 4)
OURS = (1, 2, 4, 8)
_LONGER = 3
"""So that all have begun long before the last job has run."""


def cases(options: Options) -> list[Case]:
    """Return everyone with each number of processes."""
    return [
        Case(
            one,
            "1 process" if count == 1 else f"{count} processes",
            partial(drain, one, _jobs(one, options), count),
        )
        for one in contenders(NAME, options.peers)
        for count in (OURS if one.ours else PROCESSES)
    ]


def _jobs(one: Variant, options: Options) -> int:
    return options.scaled(one.jobs * (_LONGER if one.ours else 1))
