"""What the command line writes besides answers, and an output that takes nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

__all__ = ["EXAMPLES", "NO_OUTPUT", "forget_output"]

NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What a write says of an output that takes nothing (more)."""

_STORE = "--store redis://db.example.com"
EXAMPLES = {
    name: "\n".join(("examples:", *(f"  aiosched {name} {line}" for line in lines)))
    for name, lines in {
        "run": (
            "shop.jobs:scheduler",
            f"shop.jobs:scheduler {_STORE} --name web-1 --wait",
            "shop.jobs:scheduler --burst --app-dir /srv/shop --grace 60 -v",
        ),
        "results": (
            f"nightly {_STORE}",
            f"nightly {_STORE} --since 2030-01-31T00:00+01:00 --all --json",
        ),
        "history": (
            f"nightly {_STORE}",
            f"nightly {_STORE} --kind skipped --kind missed --limit 100",
        ),
        "jobs": (f"{_STORE}", f"{_STORE} --tag billing --state paused --json"),
        "doctor": (f"{_STORE} --namespace shop", f"{_STORE} --fix --yes --json"),
        "why": (
            f"nightly 2030-01-31T09:00+01:00 {_STORE}",
            f'nightly "2030-01-31 09:00" --tz Europe/Paris {_STORE}',
        ),
        "preview": (
            "'0 9 * * mon-fri' -n 10 --tz Europe/Paris",
            f"nightly {_STORE} --after 2030-01-31T00:00+01:00",
        ),
        "next": (
            "'0 9 last fri * *' --n 5 --tz Europe/Helsinki",
            "'*/20 0 12 * * *' --seconds first",
            "'H H * * *' --id nightly",
        ),
    }.items()
}
"""The end of a command's help."""


def forget_output() -> None:
    """Let nobody see the rest, the interpreter's own last flush included."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
