"""Celery with Redis as broker and result backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from marks import mark
from protocol import Due, Peer, main, when


class Celeries(Peer):
    """A worker, and an app that sends."""

    packages = ("celery", "kombu", "redis", "hiredis")

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Build the app."""
        super().__init__(url, settings)
        self.app = Celery("bench", broker=url, backend=url)
        self.app.conf.update(settings.get("conf", {}))

        @self.app.task(name="noop")
        def noop(index: int) -> None:
            """Say that it ran."""
            mark(index)

        self.noop = noop

    def bulk(self, indices: Sequence[int]) -> None:
        """Send one after the other on one connection."""
        with self.app.producer_pool.acquire(block=True) as producer:
            for index in indices:
                self.noop.apply_async((index,), producer=producer)

    def one(self, index: int) -> None:
        """Send one job."""
        self.noop.apply_async((index,))

    def at(self, dues: Sequence[Due]) -> None:
        """Send jobs with an ETA."""
        with self.app.producer_pool.acquire(block=True) as producer:
            for index, due in dues:
                self.noop.apply_async((index,), eta=when(due), producer=producer)

    def work(self) -> None:
        """Run one worker."""
        self.app.worker_main(["worker", *self.settings.get("words", [])])


if __name__ == "__main__":
    main(Celeries)
