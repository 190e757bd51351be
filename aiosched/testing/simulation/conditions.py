"""What the way to the store is like just now: slow, cut, deaf, refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from aiosched.testing.loop import VirtualLoop
from aiosched.testing.simulation.incidents import STORE, Incident

__all__ = ["ANSWERS", "Conditions"]

ANSWERS = {
    "loading": "LOADING Redis is loading the dataset in memory",
    "readonly": "READONLY You can't write against a read only replica.",
    "oom": "OOM command not allowed when used memory > 'maxmemory'.",
}
"""What a server says that does not do what it is asked, by kind of incident."""

_RECENT = 6.0
"""Seconds after an incident in which what fails is put down to it."""
_LATEST = 2.0
"""Longest that a delayed signal takes, in seconds."""


@dataclass(frozen=True, slots=True)
class _Spell:
    """An incident that lasts, and until when."""

    incident: Incident
    until: float


class Conditions:
    """What lies between the nodes and the store, for both kinds of store.

    All of it is asked in virtual seconds of the loop.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        stream: Callable[..., random.Random],
        latency: float,
    ) -> None:
        """Begin with fair weather.

        Args:
            loop: Whose time counts.
            stream: Makes named streams of chance.
            latency: Longest way of one message, in seconds.
        """
        self._loop = loop
        self._stream = stream
        self._latency = latency
        self._draws: dict[str, Callable[[], float]] = {}
        self._refused = 0.0
        self._silent = 0.0
        self._cut_off: dict[str, float] = {}
        self._answers: dict[str, float] = {}
        self._signals: dict[str, list[_Spell]] = {}
        self._begun: list[_Spell] = []

    def begin(self, one: Incident) -> None:
        """Let an incident that lasts begin."""
        until = self._loop.time() + (one.seconds or 0.0)
        if one.kind in {"refuse", "restart", "rollback", "empty"}:
            self._refused = max(self._refused, until)
        elif one.kind == "silence":
            self._silent = max(self._silent, until)
        elif one.kind == "partition":
            known = self._cut_off.get(one.target, 0.0)
            self._cut_off[one.target] = max(known, until)
        elif one.kind in ANSWERS:
            known = self._answers.get(one.kind, 0.0)
            self._answers[one.kind] = max(known, until)
        else:
            self._signals.setdefault(one.target, []).append(_Spell(one, until))

    def note(self, one: Incident, seconds: float) -> None:
        """Remember that an incident happens, for :meth:`present`."""
        self._begun.append(_Spell(one, self._loop.time() + seconds))

    def present(self, node: str) -> str:
        """Return the kind of the latest incident that the node's way is under."""
        recent = self._loop.time() - _RECENT
        for spell in reversed(self._begun):
            if spell.until >= recent and spell.incident.target in {node, STORE}:
                return spell.incident.kind
        return "none"

    def latency(self, node: str) -> float:
        """Draw how long a message to or from a node takes."""
        draw = self._draws.get(node)
        if draw is None:
            draw = self._draws[node] = self._stream("latency", node).random
        return draw() * self._latency

    def refused(self) -> bool:
        """Return whether nobody listens at the store's address."""
        return self._loop.time() < self._refused

    def refusing(self) -> str | None:
        """Return the error that the store answers, or None if it does its work.

        Under ``READONLY`` and ``OOM`` it reads all the same.
        """
        now = self._loop.time()
        for kind, text in ANSWERS.items():
            if now < self._answers.get(kind, 0.0):
                return text
        return None

    def silent_until(self, node: str) -> float:
        """Return until when nothing passes between the node and the store."""
        return max(self._silent, self._cut_off.get(node, 0.0))

    def _spells(self, target: str) -> list[_Spell]:
        """Return what befalls the signals for a target just now."""
        spells = self._signals.get(target)
        if not spells:
            return []
        now = self._loop.time()
        spells[:] = [spell for spell in spells if now < spell.until]
        return spells

    def fate(self, node: str) -> tuple[int, float]:
        """Draw how often a signal for a node arrives, and how many seconds late."""
        spells = self._spells(node) + self._spells(STORE)
        copies, late = 1, 0.0
        for spell in spells:
            one = spell.incident
            chance = self._stream(one.kind, node, spell.until)
            if chance.random() >= (1.0 if one.amount is None else one.amount):
                continue
            if one.kind == "lose":
                copies = 0
            elif one.kind == "double":
                copies *= 2
            else:
                late = max(late, chance.random() * _LATEST)
        return copies, late
