"""A scheduler beside the program, in a thread of its own."""

import threading

from aiosched import BackgroundScheduler, Job

scheduler = BackgroundScheduler(name="beside")


@scheduler.executor
async def where(greeting: str) -> str:
    return f"{greeting} from {threading.current_thread().name}"


with scheduler:
    job = scheduler.schedule(Job(where, ["hello"], id="first"))
    print(scheduler.result(job), flush=True)
