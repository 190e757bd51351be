"""Reading the jobs of a configuration again while its scheduler runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from aiosched.config.building import resolved
from aiosched.config.loading import Config
from aiosched.config.model import options_of
from aiosched.errors import AioschedError
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["Reloading", "needs_restart"]


def needs_restart(old: Config, new: Config) -> list[str]:
    """Return what differs in two configurations and is read at the start alone."""
    names = [
        f"{mine.section}.{name}"
        for mine, theirs in ((old.scheduler, new.scheduler), (old.run, new.run))
        for name in options_of(type(mine))
        if getattr(mine, name) != getattr(theirs, name)
    ]
    return names + (["values"] if old.values != new.values else [])


class Reloading:
    """Obeys the wish to read a configuration again, one at a time.

    What cannot be read or stored changes nothing, and the log says why.
    """

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        """Keep what holds now, and how it is read.

        Args:
            config: With which the scheduler was built.
            load: Reads it again.
        """
        self.config: Config = config
        self._load = load
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Ask; also before :meth:`begin`, and any number of times."""
        self._asked.set()

    def begin(self, scheduler: Scheduler) -> None:
        """Obey from now on; the scheduler has been started."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._obey(scheduler), name="aiosched reload")

    async def end(self) -> None:
        """Obey no more; safe to call twice, and without a beginning."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _obey(self, scheduler: Scheduler) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self.reload(scheduler)
            except Exception:
                # A reload that fails is no reason to end what runs.
                log.exception(
                    "the configuration is left as it is",
                    extra={"action": "config_refused"},
                )

    async def reload(self, scheduler: Scheduler) -> list[str]:
        """Read the configuration again, and store what has changed of its jobs.

        Returns:
            The ids of the jobs of which anything was written.
        """
        try:
            new = self._load()
            old = {job.id: job for job in self.config.jobs}
            ids = {job.id for job in new.jobs}
            changed = [
                resolved(job, scheduler)
                for job in new.jobs
                if not job.off and job != old.get(job.id)
            ]
            off = [job.id for job in new.jobs if job.off]
            dropped = [job_id for job_id in old if job_id not in ids]
            written = await scheduler.redeclare(changed, withdrawn=off, dropped=dropped)
        except AioschedError as error:
            _refused(error)
            return []
        for name in needs_restart(self.config, new):
            log.warning(
                "%s has changed: a restart is needed for it",
                name,
                extra={"action": "config_restart_needed", "setting": name},
            )
        for job_id in dropped:
            if not old[job_id].off:
                log.warning(
                    "job %s is not in the configuration any more; it goes on until it "
                    "is removed: aiosched apply --remove-orphans",
                    job_id,
                    extra={"action": "config_dropped", "job_id": job_id},
                )
        self.config = replace(self.config, jobs=new.jobs, others=new.others)
        log.info(
            "the jobs of %s have been read again; changed: %s",
            new.source,
            ", ".join(written) or "none",
            extra={"action": "config_reloaded"},
        )
        return written


def _refused(error: AioschedError) -> None:
    log.error(
        "the configuration is left as it is: %s",
        error,
        extra={"action": "config_refused"},
    )
