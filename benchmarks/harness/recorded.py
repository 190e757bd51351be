"""What aiosched writes, recorded, so that a floor can write the same bytes."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import marked, server
from benchmarks.harness.contenders import Variant
from benchmarks.harness.processes import Adapter, pause, scratch, workers

Command = list[str]
"""A command, its bytes as latin-1."""

VARIABLE = "BENCH_RECORD"
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)")
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_HEAD = re.compile(rb"\+[\d.]+ \[\d+ (\S+)\] ")
_CONTROL = {"WATCH", "UNWATCH", "MULTI", "EXEC", "DISCARD"}


class Monitor:
    """A connection that sees every command; its end is the end of a phase."""

    def __init__(self, port: int) -> None:
        """Begin."""
        self._wire = socket.create_connection(("127.0.0.1", port))
        self._wire.sendall(b"MONITOR\r\n")
        self._raw = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := self._wire.recv(1 << 20):
            self._raw += chunk

    def close(self) -> list[list[Command]]:
        """End, and return the writes of each transaction."""
        pause(0.2)
        self._wire.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._wire.close()
        return list(_transactions(bytes(self._raw)))


def _unescape(raw: bytes) -> str:
    def plain(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if code[:1] == b"x" and len(code) == 3:
            return bytes([int(code[1:], 16)])
        return _PLAIN.get(code, code)

    return _ESCAPE.sub(plain, raw).decode("latin-1")


def _transactions(raw: bytes) -> Iterator[list[Command]]:
    """Find what stands between MULTI and EXEC, connection by connection."""
    open_ones: dict[bytes, list[Command]] = {}
    for line in raw.split(b"\r\n"):
        head = _HEAD.match(line)
        if head is None:
            continue
        words = [_unescape(word) for word in _WORD.findall(line[head.end() :])]
        verb = words[0].upper()
        if verb == "MULTI":
            open_ones[head[1]] = []
        elif verb == "EXEC":
            written = open_ones.pop(head[1], [])
            if written:
                yield written
        elif head[1] in open_ones and verb not in _CONTROL:
            open_ones[head[1]].append(words)


def recording(variant: Variant, jobs: int) -> Path:
    """Queue and drain jobs while everything is seen; keep what was written."""
    folder = Path(tempfile.mkdtemp(prefix="bench-record-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "record.json"
    with server.server() as running, scratch() as marks:
        with Adapter(variant, "producer", running.url, {}) as producer:
            queueing = Monitor(running.port)
            producer.ask(do="bulk", count=jobs)
            queued = queueing.close()
            serially = Monitor(running.port)
            producer.ask(do="serial", count=1)
            single = serially.close()
        more = {"BENCH_MARKS": str(marks), "BENCH_JOBS": str(jobs)}
        draining = Monitor(running.port)
        with workers(variant, running.url, 1, more):
            marked.wait_for(marks, jobs, 120.0, lambda: True)
            pause(0.3)
            drained = draining.close()
    told = {"jobs": jobs, "queued": queued, "single": single, "drained": drained}
    path.write_text(json.dumps(told), encoding="utf-8")
    os.environ[VARIABLE] = str(path)
    return path
