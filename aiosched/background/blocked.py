"""Every verb of a scheduler, as the schedulers for threads have it.

Each is made of the method of the scheduler that it names: its parameters, its
types and, at run time, its docstring are from there.  What is decorated has no
body of its own.  It is a method and no attribute because type checkers may differ
in what they infer for an attribute, and not in what a decorator returns.
"""

from __future__ import annotations

from aiosched.background.verbs import blocking, passed
from aiosched.scheduler import Scheduler

__all__ = ["Verbs"]


class Verbs:
    """The verbs that wait, and those that are passed on."""

    # -- coroutines, waited for ----------------------------------------------

    @blocking(Scheduler.backfill)
    def backfill(self) -> None:
        """See :meth:`aiosched.Scheduler.backfill`; returns when it is done."""

    @blocking(Scheduler.drain)
    def drain(self) -> None:
        """See :meth:`aiosched.Scheduler.drain`; returns when it is done."""

    @blocking(Scheduler.export_jobs)
    def export_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.export_jobs`; returns when it is done."""

    @blocking(Scheduler.fire_job)
    def fire_job(self) -> None:
        """See :meth:`aiosched.Scheduler.fire_job`; returns when it is done."""

    @blocking(Scheduler.get_job)
    def get_job(self) -> None:
        """See :meth:`aiosched.Scheduler.get_job`; returns when it is done."""

    @blocking(Scheduler.get_jobs)
    def get_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.get_jobs`; returns when it is done."""

    @blocking(Scheduler.history)
    def history(self) -> None:
        """See :meth:`aiosched.Scheduler.history`; returns when it is done."""

    @blocking(Scheduler.hold)
    def hold(self) -> None:
        """See :meth:`aiosched.Scheduler.hold`; returns when it is done."""

    @blocking(Scheduler.import_jobs)
    def import_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.import_jobs`; returns when it is done."""

    @blocking(Scheduler.idle_seconds)
    def idle_seconds(self) -> None:
        """See :meth:`aiosched.Scheduler.idle_seconds`; returns when it is done."""

    @blocking(Scheduler.job_exists)
    def job_exists(self) -> None:
        """See :meth:`aiosched.Scheduler.job_exists`; returns when it is done."""

    @blocking(Scheduler.modify)
    def modify(self) -> None:
        """See :meth:`aiosched.Scheduler.modify`; returns when it is done."""

    @blocking(Scheduler.next_fire_time)
    def next_fire_time(self) -> None:
        """See :meth:`aiosched.Scheduler.next_fire_time`; returns when it is done."""

    @blocking(Scheduler.pause)
    def pause(self) -> None:
        """See :meth:`aiosched.Scheduler.pause`; returns when it is done."""

    @blocking(Scheduler.pause_jobs)
    def pause_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.pause_jobs`; returns when it is done."""

    @blocking(Scheduler.peers)
    def peers(self) -> None:
        """See :meth:`aiosched.Scheduler.peers`; returns when it is done."""

    @blocking(Scheduler.plan)
    def plan(self) -> None:
        """See :meth:`aiosched.Scheduler.plan`; returns when it is done."""

    @blocking(Scheduler.preview)
    def preview(self) -> None:
        """See :meth:`aiosched.Scheduler.preview`; returns when it is done."""

    @blocking(Scheduler.redeclare)
    def redeclare(self) -> None:
        """See :meth:`aiosched.Scheduler.redeclare`; returns when it is done."""

    @blocking(Scheduler.release)
    def release(self) -> None:
        """See :meth:`aiosched.Scheduler.release`; returns when it is done."""

    @blocking(Scheduler.remove_job)
    def remove_job(self) -> None:
        """See :meth:`aiosched.Scheduler.remove_job`; returns when it is done."""

    @blocking(Scheduler.remove_jobs)
    def remove_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.remove_jobs`; returns when it is done."""

    @blocking(Scheduler.result)
    def result(self) -> None:
        """See :meth:`aiosched.Scheduler.result`; returns when it is done."""

    @blocking(Scheduler.resume)
    def resume(self) -> None:
        """See :meth:`aiosched.Scheduler.resume`; returns when it is done."""

    @blocking(Scheduler.resume_jobs)
    def resume_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.resume_jobs`; returns when it is done."""

    @blocking(Scheduler.run_pending)
    def run_pending(self) -> None:
        """See :meth:`aiosched.Scheduler.run_pending`; returns when it is done."""

    @blocking(Scheduler.running)
    def running(self) -> None:
        """See :meth:`aiosched.Scheduler.running`; returns when it is done."""

    @blocking(Scheduler.schedule)
    def schedule(self) -> None:
        """See :meth:`aiosched.Scheduler.schedule`; returns when it is done."""

    @blocking(Scheduler.schedule_many)
    def schedule_many(self) -> None:
        """See :meth:`aiosched.Scheduler.schedule_many`; returns when it is done."""

    @blocking(Scheduler.start_job)
    def start_job(self) -> None:
        """See :meth:`aiosched.Scheduler.start_job`; returns when it is done."""

    @blocking(Scheduler.start_jobs)
    def start_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.start_jobs`; returns when it is done."""

    @blocking(Scheduler.state)
    def state(self) -> None:
        """See :meth:`aiosched.Scheduler.state`; returns when it is done."""

    @blocking(Scheduler.stop_job)
    def stop_job(self) -> None:
        """See :meth:`aiosched.Scheduler.stop_job`; returns when it is done."""

    @blocking(Scheduler.stop_jobs)
    def stop_jobs(self) -> None:
        """See :meth:`aiosched.Scheduler.stop_jobs`; returns when it is done."""

    @blocking(Scheduler.wait)
    def wait(self) -> None:
        """See :meth:`aiosched.Scheduler.wait`; returns when it is done."""

    @blocking(Scheduler.why)
    def why(self) -> None:
        """See :meth:`aiosched.Scheduler.why`; returns when it is done."""

    # -- plain ones, passed on -------------------------------------------------

    @passed(Scheduler.declare)
    def declare(self) -> None:
        """See :meth:`aiosched.Scheduler.declare`."""

    @passed(Scheduler.guard)
    def guard(self) -> None:
        """See :meth:`aiosched.Scheduler.guard`."""

    @passed(Scheduler.health)
    def health(self) -> None:
        """See :meth:`aiosched.Scheduler.health`."""

    @passed(Scheduler.include)
    def include(self) -> None:
        """See :meth:`aiosched.Scheduler.include`."""

    @passed(Scheduler.job)
    def job(self) -> None:
        """See :meth:`aiosched.Scheduler.job`."""

    @passed(Scheduler.override)
    def override(self) -> None:
        """See :meth:`aiosched.Scheduler.override`."""

    @passed(Scheduler.register)
    def register(self) -> None:
        """See :meth:`aiosched.Scheduler.register`."""

    @passed(Scheduler.withdraw)
    def withdraw(self) -> None:
        """See :meth:`aiosched.Scheduler.withdraw`."""
