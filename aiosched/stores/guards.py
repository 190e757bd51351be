"""Guarded names: who holds which, and until when.

The rule is the same for every store; the memory store also keeps them here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiosched.abc import Guarded, GuardStep

__all__ = ["LEAST", "Asked", "Guards"]

LEAST = 1_000
"""The shortest claim, in microseconds; some stores count in milliseconds."""
_CLEARED = 256
"""Steps after which those are forgotten that have run out."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One step, as it was asked for; see :meth:`aiosched.abc.Session.guard`."""

    step: GuardStep
    name: str
    token: str
    owner: str = ""
    ttl: int = 0

    def __post_init__(self) -> None:
        """Refuse what would be held for ever, or by nobody.

        Raises:
            ValueError: The token is empty, or the time too short.
        """
        if not self.token:
            raise ValueError("a claim without a token is nobody's")
        if self.step is not GuardStep.RELEASE and self.ttl < LEAST:
            raise ValueError(f"a claim of {self.ttl} microseconds is none")

    def after(self, held: Guarded, now: int, fence: int = 0) -> Guarded:
        """Return who is to hold the name; the same object: nothing is to be written.

        Args:
            held: Who holds it now; without a claim, nobody does.
            now: The store's instant.
            fence: The greatest that is known to have been given for the name.
        """
        mine = held.claim == self.token
        match self.step:
            case GuardStep.TAKE if not held.claim:
                return Guarded(self.token, self.owner, max(now, fence + 1), self.ttl)
            case GuardStep.EXTEND if mine:
                return replace(held, left=self.ttl)
            case GuardStep.RELEASE if mine:
                return Guarded()
            case _:
                return held


class Guards:
    """The guarded names of a namespace, in memory."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[str, tuple[Guarded, int]] = {}
        self._fence = 0
        self._steps = 0

    def ask(self, asked: Asked, now: int) -> Guarded:
        """Take a step; return who holds the name afterwards."""
        self._steps += 1
        if self._steps % _CLEARED == 0:
            self._clear(now)
        claim, until = self._held.get(asked.name, (Guarded(), 0))
        held = replace(claim, left=until - now) if now < until else Guarded()
        after = asked.after(held, now, self._fence)
        if after is held:
            return held
        if after.claim:
            self._held[asked.name] = after, now + after.left
            self._fence = max(self._fence, after.fence)
        else:
            del self._held[asked.name]
        return after

    def _clear(self, now: int) -> None:
        over = [name for name, (_, until) in self._held.items() if until <= now]
        for name in over:
            del self._held[name]
