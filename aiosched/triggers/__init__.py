"""Triggers: immutable data that says at which instants a job has its slots."""

from __future__ import annotations

from aiosched.triggers.base import (
    LOOK_LIMIT,
    AnyTrigger,
    Trigger,
    trigger_class,
    trigger_from_data,
    trigger_kinds,
)
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.combining import AndTrigger, OrTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.excluding import ExcludingTrigger
from aiosched.triggers.interval import IntervalTrigger
from aiosched.triggers.phrases import Every, every
from aiosched.triggers.recurring import RRuleTrigger
from aiosched.triggers.varied import AlignedIntervalTrigger, RandomIntervalTrigger
from aiosched.triggers.words import ScheduleConfig, from_unit

__all__ = [
    "LOOK_LIMIT",
    "AlignedIntervalTrigger",
    "AndTrigger",
    "AnyTrigger",
    "CalendarIntervalTrigger",
    "CronTrigger",
    "DateTrigger",
    "Every",
    "ExcludingTrigger",
    "IntervalTrigger",
    "OrTrigger",
    "RRuleTrigger",
    "RandomIntervalTrigger",
    "ScheduleConfig",
    "Trigger",
    "every",
    "from_unit",
    "trigger_class",
    "trigger_from_data",
    "trigger_kinds",
]
