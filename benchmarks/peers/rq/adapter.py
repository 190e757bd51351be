"""RQ, with its own scheduler or with rq-scheduler."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

from protocol import Due, Peer, main, when
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from work import noop


class Rq(Peer):
    """A worker, and a queue that enqueues."""

    packages = ("rq", "rq-scheduler", "redis", "hiredis")

    def open(self) -> None:
        """Connect."""
        self.queue = Queue(connection=Redis.from_url(self.url))

    def bulk(self, indices: Sequence[int]) -> None:
        """Enqueue in pipelines of 1,000."""
        for begin in range(0, len(indices), 1_000):
            some = indices[begin : begin + 1_000]
            self.queue.enqueue_many(
                [Queue.prepare_data(noop, args=(index,)) for index in some]
            )

    def one(self, index: int) -> None:
        """Enqueue one job."""
        self.queue.enqueue(noop, index)

    def at(self, dues: Sequence[Due]) -> None:
        """Give jobs to whichever scheduler is used."""
        if self.settings.get("scheduler") == "rq-scheduler":
            from rq_scheduler import Scheduler

            scheduler = Scheduler(connection=self.queue.connection)
            for index, due in dues:
                scheduler.enqueue_at(when(due).replace(tzinfo=None), noop, index)
        else:
            for index, due in dues:
                self.queue.enqueue_at(when(due), noop, index)

    def work(self) -> None:
        """Run one worker, with a scheduler beside it if the settings say so."""
        kind = SimpleWorker if self.settings.get("simple") else Worker
        scheduler = self.settings.get("scheduler")
        if scheduler == "rq-scheduler":
            beside = multiprocessing.Process(target=schedule, args=(self.url,))
            beside.start()
        connection = Redis.from_url(self.url)
        worker = kind([Queue(connection=connection)], connection=connection)
        worker.work(with_scheduler=scheduler == "rq", logging_level="WARNING")


def schedule(url: str) -> None:
    """Run rq-scheduler, as often as it can look."""
    from rq_scheduler import Scheduler

    Scheduler(connection=Redis.from_url(url), interval=1).run()


if __name__ == "__main__":
    main(Rq)
