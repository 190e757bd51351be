"""HTTP, out and in: jobs that are requests, webhooks, pings, and a receiver.

What goes out needs the extra ``http``; the receiver needs nothing.
"""

from __future__ import annotations

from aiosched.integrations.http.deadman import DeadMan
from aiosched.integrations.http.receiver import JobCall, JobReceiver
from aiosched.integrations.http.replies import MemoryReplies, RedisReplies, Replies
from aiosched.integrations.http.request import HttpRequest
from aiosched.integrations.http.sender import (
    HttpFailedError,
    HttpOptions,
    HttpStatusError,
)
from aiosched.integrations.http.signing import Secret, SignatureError
from aiosched.integrations.http.sink import HttpSink
from aiosched.integrations.http.urls import Target
from aiosched.integrations.http.webhooks import Webhook, Webhooks

__all__ = [
    "DeadMan",
    "HttpFailedError",
    "HttpOptions",
    "HttpRequest",
    "HttpSink",
    "HttpStatusError",
    "JobCall",
    "JobReceiver",
    "MemoryReplies",
    "RedisReplies",
    "Replies",
    "Secret",
    "SignatureError",
    "Target",
    "Webhook",
    "Webhooks",
]
