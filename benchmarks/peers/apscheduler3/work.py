"""The job, where a worker can import it."""

from marks import mark, tick


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)


async def pulse(job: int) -> None:
    """Say that it ran in this second."""
    tick(job)
