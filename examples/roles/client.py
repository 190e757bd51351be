"""Who wants work done: it knows the name of the work, and none of its code.

::

    REDIS_URL=redis://localhost python -m roles.client cat.png 640
"""

from __future__ import annotations

import asyncio
import os
import sys

from aiosched import Job, Scheduler


async def main(picture: str, width: int) -> None:
    """Have a picture resized, and say so."""
    client = Scheduler(
        os.environ["REDIS_URL"], namespace="roles", run_jobs=False, name="client"
    )
    async with client:
        arguments = {"picture": picture, "width": width}
        job = await client.schedule(Job("resize", kwargs=arguments))
        print(await client.result(job, timeout=30))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
