"""A Flask application with a scheduler: S2-01, S2-05, S2-F13."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from aiosched import BackgroundScheduler, IntervalTrigger, Job
from tests import servers
from tests.integrations.programs import EXAMPLES, ROOT, Program


@pytest.mark.seed("S2-01", "S2-05")
async def test_the_example_starts_as_it_says_and_answers() -> None:
    folder = EXAMPLES / "flask"
    words = (folder / "requirements.txt").read_text("utf-8").split("\n")
    needed = [line for line in words if line and not line.startswith("#")]
    # What is to be installed exists: this package with an extra of its own.
    assert needed == [".[flask]"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "flask" in project["project"]["optional-dependencies"]
    async with Program("app.py", folder=folder) as program:
        await program.ready("/scheduler")
        found = await program.get("/scheduler")
        assert found["ok"] is True
        assert found["pid"] == program.process.pid
        assert set(await program.get("/scheduler/jobs")) == {"j1", "j2"}


_NESTED = """
import sys
from flask import Flask
from aiosched.integrations.flask import FlaskScheduler


def create_app():
    app = Flask("shop")
    app.config.update(
        AIOSCHED_STORE=sys.argv[1],
        AIOSCHED_START="now",
        AIOSCHED_JOBS=[
            {"id": "configured", "func": "json:dumps", "args": [1],
             "trigger": "interval", "hours": 1},
        ],
    )
    scheduler = FlaskScheduler()

    @scheduler.task("interval", id="nested", hours=1)
    def nested():
        return "done"

    scheduler.init_app(app)
    return scheduler


scheduler = create_app()
for job in sorted(scheduler.get_jobs(), key=lambda job: job.id):
    print(job.id, job.version, job.next_fire_time)
print(scheduler.result(scheduler.start_job("nested"), timeout=20))
scheduler.shutdown()
"""


@pytest.mark.seed("S2-F13")
def test_configured_and_nested_jobs_on_a_store_that_stays(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(_NESTED, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with servers.Server(servers.binaries()[-1]) as server:
        said = [
            subprocess.run(
                [sys.executable, "app.py", server.url],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            for _ in range(3)
        ]
    for done in said:
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    # The same two jobs, the same version and the same next run after each restart.
    outputs = {done.stdout for done in said}
    assert len(outputs) == 1, outputs
    assert [line.split()[0] for line in outputs.pop().splitlines()] == [
        "configured",
        "nested",
        "done",
    ]


@pytest.mark.seed("S2-F13")
def test_a_function_without_a_name_is_refused_clearly() -> None:
    with pytest.raises(ValueError, match="has no name of its own"):
        Job(lambda: None, id="lambda", trigger=IntervalTrigger(hours=1))
    with BackgroundScheduler() as scheduler:

        @scheduler.executor
        def nested() -> str:
            return "done"

        job = scheduler.schedule(Job(nested, id="n", keyword="k"))
        assert job.executor == "nested"
