"""What a deployment of declared jobs would do, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

__all__ = ["CHANGES", "PlannedChange", "PlannedJob"]

PlannedChange = Literal[
    "new",
    "changed",
    "off",
    "orphaned",
    "held",
    "unresolvable",
    "refused",
    "unchanged",
]
CHANGES: dict[str, str] = {
    "new": "is stored",
    "changed": "is replaced",
    "off": "is switched off, and taken out of the store",
    "orphaned": "was declared once, and is not any more",
    "held": "is stored by a higher revision, and left alone",
    "unresolvable": "has an executor that nobody knows",
    "refused": "cannot be stored",
    "unchanged": "is stored as it is declared",
}
"""What each word means."""


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job, as it is declared and as it is stored.

    Attributes:
        job_id: Which.
        change: What would become of it.
        fields: Of a changed job, what is stored and what is declared, as JSON
            values; a trigger in words.
        problem: Why it is unresolvable or refused; empty otherwise.
        next_fire_time: When the stored job's next slot starts; None: there is none.
    """

    job_id: str
    change: PlannedChange
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    problem: str = ""
    next_fire_time: datetime | None = None

    @property
    def keeps_due(self) -> bool:
        """Whether the stored job's next slot stays where it is."""
        if self.change in ("new", "off", "orphaned"):
            return False
        return "trigger" not in self.fields

    @property
    def differs(self) -> bool:
        """Whether what is declared is not what is stored."""
        return self.change != "unchanged"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        due = self.next_fire_time
        return {
            "job": self.job_id,
            "change": self.change,
            "fields": {
                name: {"from": old, "to": new}
                for name, (old, new) in self.fields.items()
            },
            "problem": self.problem,
            "next_fire_time": None if due is None else due.isoformat(),
            "keeps_due": self.keeps_due,
        }
