"""Audit records to an HTTP endpoint of yours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiosched.audit import AuditSink
from aiosched.clock import Clock
from aiosched.integrations.http.sender import HttpOptions, Sender
from aiosched.integrations.http.signing import Secret, message_id
from aiosched.integrations.http.urls import AllowList, Target, parts_of
from aiosched.integrations.http.webhooks import post

__all__ = ["HttpSink"]


class HttpSink(AuditSink):
    """Posts each record as JSON to a URL, signed if it is told to.

    ``webhook-id`` is the record's ``chain`` and ``seq``: a record that comes again
    has the same.
    """

    def __init__(
        self,
        url: str,
        *,
        sign: str | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, Secret | str] | None = None,
        options: HttpOptions | None = None,
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        """Check the options; nothing is sent yet.

        Args:
            url: Of the endpoint, without a query.
            sign: Name of the secret that signs.
            headers: Added to each request; ``${name}`` stands for a named secret.
            secrets: By name.
            options: Bounds of a request.
            name: For logs and counts; the host unless it is given.
            clock: For tests.

        Raises:
            ConfigurationError: Something cannot be used.
        """
        self.name: str = name or f"http {parts_of('url', url).host}"
        self._url = url
        target = Target(url, sign, headers or {})
        self._sender = Sender(AllowList([target]), secrets, options, clock=clock)

    async def write(self, record: dict[str, Any]) -> None:
        """Post a record.

        Raises:
            RefusedError: The endpoint will never take it.
            AttemptError: It may take it later.
        """
        identity = message_id(f"{record['chain']}/{record['seq']}")
        await post(self._sender, {"url": self._url, "id": identity, "body": record})

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.close()
