"""Fuzzing guided by coverage: ``python -m tests.fuzz.guided``, or ``nox -s fuzz``.

Each target is fuzzed by atheris in a process of its own, for a bounded time, from
the seeds on and from what earlier runs have kept in ``.fuzz/``.  It fails on any
error but the documented refusal, on an input that does not come back, and on one
that takes more than 50 ms of processor time without the fuzzer's instruments.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

__all__ = ["LIMIT", "cost", "main"]

LIMIT = 0.05
"""Seconds of processor time that an input may take."""
_LONGEST = 4_096
_FOLDER = Path(".fuzz")


def cost(target: Target, data: bytes, tries: int = 5) -> float:
    """Return the least processor time, in seconds, that an input takes.

    The least of several: caches are filled once, and other processes disturb.
    """
    least = float("inf")
    for _ in range(tries):
        begun = time.process_time()
        target.check(data)
        least = min(least, time.process_time() - begun)
    return least


def main(argv: list[str] | None = None) -> int:
    """Fuzz all targets or some; return 1 if one has failed."""
    words = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    words.add_argument("--target", action="append", help="only this; may be repeated")
    words.add_argument("--seconds", type=int, default=30, help="for each target")
    words.add_argument("--replay", type=Path, help="check one file, uninstrumented")
    words.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = words.parse_args(argv)
    if asked.child:
        _fuzz(asked.target[0], asked.seconds)  # never returns
    targets = importlib.import_module("tests.fuzz.targets").TARGETS
    chosen = asked.target or list(targets)
    if asked.replay is not None:
        return _replay(targets[chosen[0]], asked.replay)
    failed = [name for name in chosen if not _run(name, targets[name], asked.seconds)]
    print(f"{len(chosen)} targets, {len(failed)} failed", *failed)
    return 1 if failed else 0


def _replay(target: Target, file: Path) -> int:
    data = file.read_bytes()
    print(f"{data!r}: accepted is {target.check(data)}")
    least = cost(target, data)
    print(f"{least * 1000:.1f} ms")
    return 0 if least <= LIMIT else 1


# --- the one that watches ----------------------------------------------------------


def _run(name: str, target: Target, seconds: int) -> bool:
    """Fuzz a target in a process of its own; say what came of it."""
    folder = _FOLDER / name
    for part in ("corpus", "slow", "crash"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for data in target.seeds:
        (folder / "corpus" / sha256(data).hexdigest()[:16]).write_bytes(data)
    command = [sys.executable, "-m", "tests.fuzz.guided", "--child", "--target", name]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds * 3 + 120,
        check=False,
    )
    slow = [
        file
        for file in sorted((folder / "slow").iterdir())
        if cost(target, file.read_bytes()) > LIMIT
    ]
    replay = f"python -m tests.fuzz.guided --target {name} --replay"
    for file in slow:
        print(f"{name}: more than {LIMIT * 1000:g} ms: {replay} {file}")
    if done.returncode:
        print(done.stdout[-2_000:], done.stderr[-4_000:], sep="\n")
        print(f"{name}: failed: {replay} {folder / 'crash'}/…")
    said = [
        line for line in done.stderr.splitlines() if "DONE" in line or "Done" in line
    ]
    print(f"{name}:", *(line.strip() for line in said[-2:]), flush=True)
    return not done.returncode and not slow


# --- the one that is watched -------------------------------------------------------


def _fuzz(name: str, seconds: int) -> None:
    """Hand a target to atheris, which ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["aiosched"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target: Target = targets[name]
    folder = _FOLDER / name

    def once(data: bytes) -> None:
        begun = time.process_time()
        target.check(data)
        if time.process_time() - begun > LIMIT and cost(target, data, 2) > LIMIT:
            file = folder / "slow" / sha256(data).hexdigest()[:16]
            file.write_bytes(data)

    words = folder / "words"
    lines = [
        '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in target.words
    ]
    words.write_text("\n".join(lines) + "\n")
    options = [
        sys.argv[0],
        str(folder / "corpus"),
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST}",
        f"-artifact_prefix={folder / 'crash'}/",
        f"-dict={words}",
        "-timeout=30",
        "-rss_limit_mb=2048",
    ]
    atheris.Setup(options, once)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
