"""A Flask application with a scheduler, configured by its config.

``python examples/flask/app.py``, then ``curl -s localhost:5000/scheduler``.
"""

import os

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from aiosched import Job, JobNotFoundError, every
from aiosched.integrations.flask import FlaskScheduler

app = Flask("shop")
app.config.update(
    # With redis://localhost any number of workers share the jobs.
    AIOSCHED_STORE=os.environ.get("AIOSCHED_STORE", "memory://"),
    AIOSCHED_NAMESPACE="shop",
    AIOSCHED_TIMEZONE="Europe/Rome",
    AIOSCHED_JOB_DEFAULTS={"misfire_grace": 30, "max_running": 1},
    AIOSCHED_JOBS=[
        {
            "id": "j1",
            "func": "jobs:greet",
            "args": ["ann"],
            "kwargs": {"times": 2},
            "trigger": "interval",
            "seconds": 10,
            "start": "2000-01-01T00:00:00Z",
        },
        {
            "id": "j2",
            "func": "jobs:greet",
            "args": ["bob"],
            "trigger": "cron",
            "hour": 3,
        },
    ],
)
scheduler = FlaskScheduler(app)


@app.get("/scheduler")
def about() -> ResponseReturnValue:
    health = scheduler.health()
    return jsonify(ok=health.ok, name=scheduler.name, pid=os.getpid())


@app.get("/scheduler/jobs")
def listed() -> ResponseReturnValue:
    return jsonify({job.id: job.next_fire_time for job in scheduler.get_jobs()})


@app.post("/scheduler/jobs/<job_id>/run")
def run_now(job_id: str) -> ResponseReturnValue:
    try:
        firing = scheduler.start_job(job_id)
    except JobNotFoundError as error:
        return jsonify(error=str(error)), 404
    return jsonify(result=scheduler.result(firing, timeout=10))


@app.get("/add")
def add() -> ResponseReturnValue:
    job = Job("jobs:greet", ["eve"], id="added", trigger=every(1).minutes)
    stored = scheduler.schedule(job, on_conflict="replace")
    return jsonify(id=stored.id, version=stored.version)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
