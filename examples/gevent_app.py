"""A scheduler among greenlets: patch first, then import, then as with threads."""

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402 - not before gevent has changed them

import gevent  # noqa: E402

from aiosched import BackgroundScheduler, Job  # noqa: E402


def slow(seconds: float) -> str:
    time.sleep(seconds)  # which lets the other greenlets go on
    return "done"


with BackgroundScheduler() as scheduler:
    scheduler.register(slow)
    jobs = [scheduler.schedule(Job(slow, [0.1])) for _ in range(3)]
    waiting = [gevent.spawn(scheduler.result, job) for job in jobs]
    print([greenlet.get() for greenlet in waiting], flush=True)
