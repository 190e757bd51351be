"""Triggers: immutable data that says at which instants a job has its slots."""

from __future__ import annotations

from aiosched.triggers.base import (
    LOOK_LIMIT,
    AnyTrigger,
    Trigger,
    trigger_from_data,
    trigger_kinds,
)
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.combining import AndTrigger, OrTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger
from aiosched.triggers.phrases import Every, every
from aiosched.triggers.varied import AlignedIntervalTrigger, RandomIntervalTrigger

__all__ = [
    "LOOK_LIMIT",
    "AlignedIntervalTrigger",
    "AndTrigger",
    "AnyTrigger",
    "CalendarIntervalTrigger",
    "CronTrigger",
    "DateTrigger",
    "Every",
    "IntervalTrigger",
    "OrTrigger",
    "RandomIntervalTrigger",
    "Trigger",
    "every",
    "trigger_from_data",
    "trigger_kinds",
]
