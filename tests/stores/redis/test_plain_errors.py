"""What users see of a connection that is not to be had."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import RedisJobStore, StoreUnavailableError


async def test_a_port_without_tls_is_named_after_one_time_out() -> None:
    connected = 0

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = RedisJobStore(f"rediss://127.0.0.1:{port}", socket_connect_timeout=1.1)
    try:
        with pytest.raises(
            StoreUnavailableError, match=r"TLS.*redis instead of rediss"
        ) as raised:
            await store.open("tls", {})
    finally:
        server.close()
    assert type(raised.value) is StoreUnavailableError
    assert connected == 1


async def test_errors_leave_by_their_public_names(
    unused_tcp_port: int,
) -> None:
    store = RedisJobStore(f"redis://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(StoreUnavailableError, match="cannot be reached") as raised:
        await store.open("gone", {})
    assert type(raised.value) is StoreUnavailableError
    assert raised.value.__cause__ is not None
