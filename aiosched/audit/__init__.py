"""Audit: an append-only trail of who did what to which job, and of every run."""

from __future__ import annotations

from aiosched.audit.auditor import Auditor
from aiosched.audit.chain import Verdict, verify
from aiosched.audit.records import Trail
from aiosched.audit.sinks import AuditSink, CallableSink, ConsoleSink, FileSink
from aiosched.context import acting_as

__all__ = [
    "AuditSink",
    "Auditor",
    "CallableSink",
    "ConsoleSink",
    "FileSink",
    "Trail",
    "Verdict",
    "acting_as",
    "verify",
]
