"""A scheduler that is the whole program: Ctrl-C or SIGTERM ends it."""

import threading

from aiosched import BlockingScheduler, every

scheduler = BlockingScheduler()


@scheduler.job(every(1).seconds, id="tick")
async def tick() -> None:
    print("tick in", threading.current_thread().name, flush=True)


scheduler.start()
print("ended", flush=True)
