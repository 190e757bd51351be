"""Schedulers for programs without an event loop: every verb, from any thread.

One implementation: the verbs are those of :class:`~aiosched.Scheduler`, called on
its loop and waited for.
"""

from __future__ import annotations

from aiosched.background.facade import BlockingIterator
from aiosched.background.schedulers import BackgroundScheduler, BlockingScheduler

__all__ = ["BackgroundScheduler", "BlockingIterator", "BlockingScheduler"]
