"""The scheduler that asyncio applications should have had all along.

Any number of processes share one store; each firing is claimed by one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiosched._api.explaining import Explanation
from aiosched._api.ledger import HistoryPage
from aiosched._api.moving import Imported
from aiosched._api.queries import Health, JobPage, Peer, RunningRun
from aiosched._engine.events import Event
from aiosched.abc import Executor, JobStore
from aiosched.context import Context
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
    CancelJob,
    ConfigurationError,
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
from aiosched.jobs import Firing, Job, LedgerEntry, Retry, Run
from aiosched.jobs.outlook import Backfill, Preview
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
    from aiosched.stores.redis.store import RedisJobStore

__version__ = "0.1.0"

__all__ = [
    "AioschedError",
    "AlreadyRunningError",
    "AndTrigger",
    "ArgumentsError",
    "Backfill",
    "CalendarIntervalTrigger",
    "CancelJob",
    "Cause",
    "Coalesce",
    "ConfigurationError",
    "Context",
    "CronTrigger",
    "DateTrigger",
    "Event",
    "ExcludingTrigger",
    "Executor",
    "Explanation",
    "Firing",
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
    "Preview",
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
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
