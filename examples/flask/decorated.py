"""Jobs by decorator, with every option beside the words of the trigger."""

import os

from flask import Flask, current_app, jsonify
from flask.typing import ResponseReturnValue

from aiosched.integrations.flask import FlaskScheduler

app = Flask("decorated")
app.config["AIOSCHED_STORE"] = os.environ.get("AIOSCHED_STORE", "memory://")
scheduler = FlaskScheduler()


def note(what: str) -> None:
    """Tell that a job has run: in a file if there is one, else in the log."""
    path = os.environ.get("RAN")
    if path is None:
        current_app.logger.info(what)
        return
    with open(path, "a") as file:  # noqa: PTH123 - as one would write it
        file.write(f"{what} {current_app.name} {os.getpid()}\n")


@scheduler.task("interval", id="job1", milliseconds=500, misfire_grace=900)
def job1() -> None:
    note("job1")


@scheduler.task("cron", id="job2", minute="*", coalesce="latest", max_running=1)
def job2() -> None:
    note("job2")


@scheduler.task("cron", id="job3", week="*", day_of_week="sun", overlap="queue")
def job3() -> None:
    note("job3")


scheduler.init_app(app)


@app.get("/scheduler/jobs")
def listed() -> ResponseReturnValue:
    jobs = {job.id: job.to_dict() for job in scheduler.get_jobs()}
    return jsonify(pid=os.getpid(), jobs=jobs)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")), debug="DEBUG" in os.environ)
