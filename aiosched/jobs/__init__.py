"""Jobs, runs and ledger entries as people write and read them.

A :class:`Job` is immutable data, checked when it is built.  What a store keeps
(:mod:`aiosched.records`) is made from it once, at ``schedule``; what the verbs
return is made from that again, as a snapshot.

Pure: no clock, no I/O; the only chance is the id that a new job draws.
"""

from __future__ import annotations

from aiosched.enums import JobState, Outcome
from aiosched.jobs.conversions import (
    anchor_of,
    arguments_of,
    definition_of,
    fields_differing,
    job_of,
    job_of_definition,
    to_spec,
)
from aiosched.jobs.inputs import (
    DEFAULT_KEEP,
    JobChanges,
    JobFields,
    JobOptions,
    executor_name,
)
from aiosched.jobs.job import Job
from aiosched.jobs.progress import Progress, progress_of
from aiosched.jobs.retry import Retry
from aiosched.jobs.runs import Firing, LedgerEntry, Run, RunFailure, entry_of, run_of
from aiosched.jobs.snapshots import DEFAULT_QUEUE

__all__ = [
    "DEFAULT_KEEP",
    "DEFAULT_QUEUE",
    "Firing",
    "Job",
    "JobChanges",
    "JobFields",
    "JobOptions",
    "JobState",
    "LedgerEntry",
    "Outcome",
    "Progress",
    "Retry",
    "Run",
    "RunFailure",
    "anchor_of",
    "arguments_of",
    "definition_of",
    "entry_of",
    "executor_name",
    "fields_differing",
    "job_of",
    "job_of_definition",
    "progress_of",
    "run_of",
    "to_spec",
]
