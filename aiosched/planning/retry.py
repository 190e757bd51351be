"""Whether and when a failed run is tried again."""

from __future__ import annotations

from aiosched.enums import Outcome
from aiosched.planning.moments import fraction
from aiosched.records import Definition, Ended, Pending

__all__ = ["backoff", "retries"]


def retries(definition: Definition, firing: Pending, ended: Ended) -> bool:
    """Return whether the firing gets another attempt."""
    rule = definition.spec.retry
    if rule is None or not ended.retryable:
        return False
    if ended.outcome is Outcome.TIMED_OUT:
        if not rule.timeouts:
            return False
    elif ended.outcome is not Outcome.FAILED or (
        rule.errors and not set(rule.errors) & set(ended.error)
    ):
        return False
    return firing.attempt - firing.lost < rule.attempts


def backoff(definition: Definition, firing: Pending) -> int:
    """Return how long to wait after attempt ``firing.attempt`` has failed.

    ``delay * factor ** (failures - 1)``, at most ``cap``, and varied downwards
    by up to ``jitter`` of itself, by a hash of (job, firing, attempt).
    """
    rule = definition.spec.retry
    if rule is None:
        return 0
    failures = max(firing.attempt - firing.lost, 1)
    try:
        wait = min(float(rule.cap), rule.delay * float(rule.factor) ** (failures - 1))
    except OverflowError:
        wait = float(rule.cap)
    share = fraction(definition.id, firing.key, str(firing.attempt))
    return int(wait * (1.0 - rule.jitter * share))
