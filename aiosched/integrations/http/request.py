"""The executor whose jobs are HTTP requests."""

from __future__ import annotations

import json as json_module
import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Unpack

from pydantic import Field

from aiosched.abc import Executor
from aiosched.clock import Clock
from aiosched.context import Context
from aiosched.errors import AttemptError, ConfigurationError
from aiosched.integrations.http.sender import (
    OWN_HEADERS,
    TOKEN,
    VALUE,
    Answer,
    HttpOptions,
    Outgoing,
    Sender,
)
from aiosched.integrations.http.signing import Secret, message_id
from aiosched.integrations.http.urls import AllowList, Target
from aiosched.jobs import Job, JobOptions, checks

__all__ = ["HttpRequest", "Method"]

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.IGNORECASE)


class HttpRequest(Executor):
    """Sends a request to a URL that is allowed; the answer is the run's result.

    Each attempt at a firing carries the same ``webhook-id`` and
    ``Idempotency-Key``, by which a receiver can know it again; ``Aiosched-Fence``
    is greater in a later attempt.  An answer that is not expected fails the
    attempt, and the job's own ``retry`` says what comes then: after a status that
    will not change it is not tried again, and a ``Retry-After`` is waited for.
    """

    def __init__(
        self,
        targets: Iterable[Target | str],
        *,
        base_url: str | None = None,
        secrets: Mapping[str, Secret | str] | None = None,
        options: HttpOptions | None = None,
        source: str = "",
        clock: Clock | None = None,
    ) -> None:
        """Say what may be asked; nothing is opened yet.

        Args:
            targets: The allow-list, see :class:`Target`.
            base_url: What URLs without a scheme stand behind.
            secrets: By name, for the targets; jobs never hold or name any.
            options: Bounds.
            source: Put in front of the message ids, where several namespaces that
                have equal job ids ask one receiver.
            clock: For tests.

        Raises:
            ConfigurationError: Something cannot be used.
        """
        allowed = AllowList(targets, base_url=base_url)
        self._sender = Sender(allowed, secrets, options, clock=clock)
        self._source = f"{source}/" if source else ""

    def job(
        self,
        url: str,
        *,
        method: Method = "POST",
        json: Any = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Iterable[int] | None = None,
        total: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Build a job that sends a request, checked against the allow-list.

        Args:
            url: Absolute, or behind the base URL.
            method: Of the request.
            json: Sent as its body, unless it is None.
            body: Sent as its body as it is; not together with ``json``.
            headers: Beside those of the target.
            expect: Statuses that mean success; None: 200 to 299.
            total: Seconds for the request, where less than the option's.
            **options: Those of :class:`~aiosched.Job`.

        Raises:
            ConfigurationError: The URL is not allowed, or something else cannot
                be used.
        """
        wanted = None if expect is None else list(expect)
        given: dict[str, Any] = {
            "method": method,
            "json": json,
            "body": body,
            "headers": None if headers is None else dict(headers),
            "expect": wanted,
            "total": total,
        }
        self._check(url, **given)
        kwargs = {k: v for k, v in given.items() if v is not None}
        if method == "POST":
            del kwargs["method"]
        values: JobOptions = {**options, "args": (), "kwargs": {"url": url, **kwargs}}
        return Job(self, **values)

    async def teardown(self) -> None:
        """Close the connections."""
        await self._sender.close()

    async def run(
        self,
        context: Context,
        url: Annotated[str, Field(max_length=4_096)],
        method: Method = "POST",
        json: Any = None,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        expect: list[int] | None = None,
        total: float | None = None,
    ) -> dict[str, Any]:
        """Send the request of one run.

        Returns:
            ``status``, ``headers`` (content type, location, request id), and
            ``json`` or ``text`` of the answer; ``cut`` if there was more of it.

        Raises:
            AttemptError: It is not allowed; there is no further attempt.
            HttpFailedError: There was no answer.
            HttpStatusError: The answer was not expected.
        """
        try:
            self._check(url, method, json, body, headers, expect, total)
            out = Outgoing(
                method,
                url,
                message_id(self._source + context.firing_id),
                _body(json, body),
                {**(headers or {}), **self._about(context)},
                "application/json" if body is None else "text/plain; charset=utf-8",
            )
            answer = await self._sender.send(out, total=total)
        except ConfigurationError as error:
            raise AttemptError(str(error), retry=False) from None
        self._sender.judge(out, answer, expect)
        return _result(answer, self._sender.hide(answer.body.decode(errors="replace")))

    def _about(self, context: Context) -> dict[str, str]:
        return {
            "aiosched-job": message_id(context.job_id),
            "aiosched-attempt": str(context.attempt),
            "aiosched-fence": str(context.fence),
        }

    def _check(
        self,
        url: object,
        method: object = "POST",
        json: object = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        expect: Iterable[int] | None = None,
        total: float | None = None,
    ) -> None:
        """Refuse what cannot be sent.

        Raises:
            ConfigurationError: It says which field it is.
        """
        self._sender.allowed.find(url)
        if method not in Method.__args__:  # type: ignore[attr-defined]
            words = ", ".join(Method.__args__)  # type: ignore[attr-defined]
            raise ConfigurationError("method", method, "is none", f"use one of {words}")
        if json is not None and body is not None:
            raise ConfigurationError(
                "body", body, "there is a json body already", "give one of them"
            )
        if method in ("GET", "HEAD") and not (json is None and body is None):
            raise ConfigurationError(
                "method", method, "has no body (RFC 9110, 9.3.1)", "use POST"
            )
        for name, value in (headers or {}).items():
            _check_header(name, value)
        for status in expect if expect is not None else ():
            checks.number("expect", status, least=100, most=599)
        if total is not None and not (0 < total < math.inf):
            raise ConfigurationError("total", total, "is no time", "give seconds")


def _check_header(name: object, value: object) -> None:
    remedy = "give names and values of printable ASCII"
    if not isinstance(name, str) or not TOKEN.fullmatch(name):
        raise ConfigurationError("headers", name, "is no name of a header", remedy)
    if not isinstance(value, str) or not VALUE.fullmatch(value):
        raise ConfigurationError(
            f"headers.{name}", "<hidden>", "is no value of a header", remedy
        )
    if name.lower() in OWN_HEADERS or name.lower().startswith("aiosched-"):
        raise ConfigurationError(
            f"headers.{name}", "<hidden>", "is the sender's own", "leave it out"
        )


def _body(json: Any, body: str | None) -> bytes:
    if body is not None:
        return body.encode()
    if json is None:
        return b""
    text = json_module.dumps(json, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")


_KEPT = ("content-type", "location", "x-request-id", "idempotent-replayed")


def _result(answer: Answer, text: str) -> dict[str, Any]:
    headers = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
    result: dict[str, Any] = {"status": answer.status, "headers": headers}
    if answer.cut:
        result["cut"] = True
    if not answer.body:
        return result
    if not answer.cut and _JSON_TYPE.match(headers.get("content-type", "")):
        try:
            return {**result, "json": json_module.loads(text)}
        except (ValueError, RecursionError):
            pass
    return {**result, "text": text}
