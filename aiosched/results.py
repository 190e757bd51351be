"""What runs leave behind: results and errors as JSON text of bounded size."""

from __future__ import annotations

import json
import traceback

from aiosched.jobs.checks import class_name
from aiosched.jobs.plain import dump_json
from aiosched.jobs.runs import REPR_KEY

__all__ = ["MAX_RESULT", "describe_error", "dump_result", "error_names"]

MAX_RESULT = 65_536
"""Default bound of a result, in bytes; ledger and record carry it."""
_MAX_MESSAGE = 1_000
_MAX_TRACEBACK = 4_000


def dump_result(value: object, *, limit: int = MAX_RESULT) -> bytes:
    """Write what an executor returned as JSON text; never fails.

    Returns:
        Empty for None.  What JSON cannot hold, or takes more than ``limit``
        bytes, becomes ``{"$repr": text}``, which ``Run.result_is_repr`` tells.
    """
    if value is None:
        return b""
    try:
        text = dump_json(value, "result")
    except Exception:  # the result is the user's, and so may be its serializer
        text = None
    if text is not None and len(text) <= limit:
        return text
    return _packed({REPR_KEY: _cut(_shown(value), _MAX_MESSAGE)})


def describe_error(error: BaseException) -> bytes:
    """Write an exception as JSON text: type, message and traceback, cut."""
    try:
        message = str(error)
    except Exception:
        message = "<an error whose text cannot be had>"
    lines = "".join(traceback.format_exception(error))
    if len(lines) > _MAX_TRACEBACK:
        lines = "…" + lines[1 - _MAX_TRACEBACK :]
    return _packed(
        {
            "type": class_name(type(error)),
            "message": _cut(message, _MAX_MESSAGE),
            "traceback": lines,
        }
    )


def error_names(error: BaseException) -> tuple[str, ...]:
    """Return the names of an exception's classes, most derived first.

    Each with its module and without, so that retry rules may be written in
    either way.
    """
    names: list[str] = []
    for cls in type(error).__mro__:
        if issubclass(cls, BaseException):
            names += (class_name(cls), cls.__qualname__)
    return tuple(dict.fromkeys(names))


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{class_name(type(value))} whose repr fails>"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _packed(data: dict[str, str]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")
