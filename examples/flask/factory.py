"""An application factory, a blueprint, and listeners in the application's context."""

import os
import time
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Flask, current_app, jsonify
from flask.typing import ResponseReturnValue

from aiosched import Event, Job, every
from aiosched.integrations.flask import FlaskScheduler

scheduler = FlaskScheduler()
jobs = Blueprint("jobs", __name__)


@scheduler.executor
def fail() -> None:
    raise LookupError("nothing there")


@scheduler.executor
def work() -> str:
    return "done"


def tell(event: Event) -> None:
    """Print an event and the application it happened in."""
    run = event.data.get("run")
    outcome = "" if run is None else f" {run.outcome}"
    print(f"{event.name}{outcome} in {current_app.name}", flush=True)


for name in ("job_scheduled", "job_removed", "run_started", "run_ended", "missed"):
    scheduler.on(name, tell)


@jobs.post("/jobs/<executor>")
def order(executor: str) -> ResponseReturnValue:
    job = scheduler.schedule(Job(executor, keep=60, id=f"order-{executor}"))
    return jsonify(outcome=scheduler.wait(job, timeout=10).outcome)


@jobs.delete("/jobs/<executor>")
def withdraw(executor: str) -> ResponseReturnValue:
    late = Job(executor, id="late", keyword="never")
    scheduler.schedule(late)
    scheduler.remove_job("late")
    return jsonify(removed="late" not in scheduler)


@jobs.post("/miss")
def miss() -> ResponseReturnValue:
    """Hold this peer until a slot is beyond its grace."""
    scheduler.hold()
    job = Job(
        "work", id="missed", trigger=every(1).seconds, max_runs=1, misfire_grace=0.01
    )
    slot = scheduler.schedule(job).next_fire_time
    while slot is not None and datetime.now(UTC) < slot + timedelta(seconds=0.1):
        time.sleep(0.1)
    scheduler.release()
    return jsonify(held=False)


def create_app(name: str = "shop") -> Flask:
    """Build the application."""
    app = Flask(name)
    app.config["AIOSCHED_STORE"] = os.environ.get("AIOSCHED_STORE", "memory://")
    app.register_blueprint(jobs)
    scheduler.init_app(app)
    return app


if __name__ == "__main__":
    create_app().run(port=int(os.environ.get("PORT", "5000")))
