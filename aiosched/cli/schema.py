"""``aiosched schema``: what is stored and sent, as JSON schemas."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from aiosched import enums

__all__ = ["message_schema", "schema_text", "states_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_FIELD = r"[^|\n]*"


def schema_text(of: str) -> str:
    """Return one as text: ``job``, ``jobs``, ``message`` or ``states``."""
    if of == "job":
        from aiosched.jobs import Job

        schema = {"$schema": _DRAFT, **Job.json_schema()}
    elif of == "jobs":
        from aiosched.jobs.documents import document_schema

        schema = {"$schema": _DRAFT, **document_schema()}
    elif of == "message":
        schema = message_schema()
    else:
        schema = states_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False)


def message_schema() -> dict[str, Any]:
    """Describe every message that peers send through Redis.

    A message is ``{"channel": …, "data": …}`` as a subscriber receives it.
    """
    entry = rf"[^|\n]+\|{_FIELD}\|-?\d*\|\d+"
    return {
        "$schema": _DRAFT,
        "title": "Message",
        "description": "A pub/sub message of a namespace: a hint, never an order.",
        "oneOf": [
            _message(
                "changed",
                r"^\{.+:\d+\}:s$",
                rf"^{entry}(\n{entry})*$",
                "Records of a shard changed: a line each, of job id, queue, the "
                "instant of the next look in microseconds since 1970 (empty: none) "
                "and sequence number.",
            ),
            _message(
                "done",
                r"^\{.+:\d+\}:d$",
                r"^[^|\n]+(\n[^|\n]+)*$",
                "Firings of these jobs of a shard have their final outcome: a job "
                "id a line.",
            ),
            _message(
                "canary",
                r"^\{[^{}]+\}:canary$",
                r"^[^|\n]+$",
                "A peer's own sign of life, by which it knows that it still hears: "
                "its incarnation id.",
            ),
        ],
    }


def _message(title: str, channel: str, data: str, text: str) -> dict[str, Any]:
    return {
        "title": title,
        "description": text + r" In ids, | and newlines are percent-encoded.",
        "type": "object",
        "properties": {
            "channel": {"type": "string", "pattern": channel},
            "data": {"type": "string", "pattern": data},
        },
        "required": ["channel", "data"],
        "additionalProperties": False,
    }


def states_schema() -> dict[str, Any]:
    """Describe the closed lists of words, each under its name."""
    words: dict[str, Any] = {}
    for name in enums.__all__:
        kind = getattr(enums, name)
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            words[name] = {
                "description": (kind.__doc__ or "").split("\n")[0],
                "enum": [member.value for member in kind],
            }
    return {"$schema": _DRAFT, "title": "States", "$defs": words}
