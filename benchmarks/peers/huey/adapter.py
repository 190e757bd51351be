"""huey over Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huey import RedisHuey
from marks import mark
from protocol import Due, Peer, main, when


class Hueys(Peer):
    """A consumer, and a huey that enqueues."""

    packages = ("huey", "redis", "hiredis")

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Build the huey."""
        super().__init__(url, settings)
        self.huey = RedisHuey("bench", url=url, **settings.get("huey", {}))

        @self.huey.task(name="noop")
        def noop(index: int) -> int:
            """Say that it ran; a result of None would not be kept."""
            mark(index)
            return 0

        self.noop: Any = noop

    def bulk(self, indices: Sequence[int]) -> None:
        """Enqueue one after the other: there is no verb for many."""
        for index in indices:
            self.noop(index)

    def one(self, index: int) -> None:
        """Enqueue one job."""
        self.noop(index)

    def at(self, dues: Sequence[Due]) -> None:
        """Enqueue jobs with an ETA."""
        for index, due in dues:
            self.noop.schedule((index,), eta=when(due))

    def work(self) -> None:
        """Run one consumer."""
        self.huey.create_consumer(**self.settings.get("consumer", {})).run()


if __name__ == "__main__":
    main(Hueys)
