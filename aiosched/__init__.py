"""The scheduler that asyncio applications should have had all along.

Any number of processes share one store; each firing is claimed by one of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiosched._api.explaining import Explanation
from aiosched._api.ledger import HistoryPage
from aiosched._api.moving import Imported
from aiosched._api.queries import Health, JobPage, Peer, RunningRun
from aiosched._engine.events import Event
from aiosched.abc import Executor, JobStore
from aiosched.context import Context
from aiosched.depends import Depends
from aiosched.enums import (
    Cause,
    Coalesce,
    JobState,
    OnConflict,
    OnLost,
    Outcome,
    Overlap,
    Reason,
    RowKind,
)
from aiosched.errors import (
    AioschedError,
    AlreadyRunningError,
    ArgumentsError,
    AttemptError,
    CancelJob,
    ConfigFileError,
    ConfigurationError,
    GuardError,
    GuardHeldError,
    GuardLostError,
    InvalidInputError,
    JobChangedError,
    JobError,
    JobExistsError,
    JobNotFoundError,
    RunCancelledError,
    RunError,
    RunExpiredError,
    RunFailedError,
    RunLostError,
    RunTimedOutError,
    SchedulerStateError,
    StoreConflictError,
    StoreDataError,
    StoreError,
    StoreUnavailableError,
    TooManyWaitingError,
    TriggerError,
    UnknownExecutorError,
    WaitTimeoutError,
)
from aiosched.guard import Guard
from aiosched.jobs import Firing, Job, LedgerEntry, Progress, Retry, Run
from aiosched.jobs.outlook import Backfill, Preview
from aiosched.jobs.plans import PlannedJob
from aiosched.scheduler import Scheduler
from aiosched.stores import MemoryJobStore, open_store
from aiosched.triggers import (
    AndTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    ExcludingTrigger,
    IntervalTrigger,
    OrTrigger,
    RRuleTrigger,
    ScheduleConfig,
    Trigger,
    every,
    from_unit,
)

if TYPE_CHECKING:
    from aiosched.background import BackgroundScheduler, BlockingScheduler
    from aiosched.stores.redis.store import RedisJobStore

__version__ = "0.1.0"

__all__ = [
    "AioschedError",
    "AlreadyRunningError",
    "AndTrigger",
    "ArgumentsError",
    "AttemptError",
    "Backfill",
    "BackgroundScheduler",
    "BlockingScheduler",
    "CalendarIntervalTrigger",
    "CancelJob",
    "Cause",
    "Coalesce",
    "ConfigFileError",
    "ConfigurationError",
    "Context",
    "CronTrigger",
    "DateTrigger",
    "Depends",
    "Event",
    "ExcludingTrigger",
    "Executor",
    "Explanation",
    "Firing",
    "Guard",
    "GuardError",
    "GuardHeldError",
    "GuardLostError",
    "Health",
    "HistoryPage",
    "Imported",
    "IntervalTrigger",
    "InvalidInputError",
    "Job",
    "JobChangedError",
    "JobError",
    "JobExistsError",
    "JobNotFoundError",
    "JobPage",
    "JobState",
    "JobStore",
    "LedgerEntry",
    "MemoryJobStore",
    "OnConflict",
    "OnLost",
    "OrTrigger",
    "Outcome",
    "Overlap",
    "Peer",
    "PlannedJob",
    "Preview",
    "Progress",
    "RRuleTrigger",
    "Reason",
    "RedisJobStore",
    "Retry",
    "RowKind",
    "Run",
    "RunCancelledError",
    "RunError",
    "RunExpiredError",
    "RunFailedError",
    "RunLostError",
    "RunTimedOutError",
    "RunningRun",
    "ScheduleConfig",
    "Scheduler",
    "SchedulerStateError",
    "StoreConflictError",
    "StoreDataError",
    "StoreError",
    "StoreUnavailableError",
    "TooManyWaitingError",
    "Trigger",
    "TriggerError",
    "UnknownExecutorError",
    "WaitTimeoutError",
    "every",
    "from_unit",
    "open_store",
]


def __getattr__(name: str) -> Any:
    # Lazily, so that who keeps jobs in memory does not import redis.
    if name == "RedisJobStore":
        from aiosched.stores.redis.store import RedisJobStore

        return RedisJobStore
    if name in ("BackgroundScheduler", "BlockingScheduler"):
        return getattr(import_module("aiosched.background"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
