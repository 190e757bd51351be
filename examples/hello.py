"""The whole of it: one object, one function, one job."""

from aiosched import BackgroundScheduler, Job

with BackgroundScheduler() as scheduler:
    scheduler.register(print, name="print")
    scheduler.wait(scheduler.schedule(Job("print", ["hello"])))
