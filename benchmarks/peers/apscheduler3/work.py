"""The job, where a worker can import it."""

from marks import mark


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)
