"""Schedulers for threads in real processes: signals, ends without a shutdown, forks."""

from __future__ import annotations

import signal

import pytest

from aiosched import BackgroundScheduler, Job
from tests.background.scripts import ONE, program, said
from tests.seeds.stage import FAST

SOON = 10.0

# What is shown here is the same with every server.
on_one = pytest.mark.parametrize("server", ONE, indirect=True, scope="session")

HEAD = """
import asyncio, gc, multiprocessing, os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the shell did
from aiosched import *
from aiosched.background import life
life.EXIT_GRACE = 0.2
FAST = {"lease": 2.0, "terms": {"beat": 0.3, "member_timeout": 2.0, "shards": 4}}
URL = sys.argv[1]

def add(a, b=1):
    return a + b

def build(**options):
    scheduler = BackgroundScheduler(URL, **FAST, **options)
    scheduler.register(add)
    return scheduler

def alone(scheduler):
    left = scheduler.events("peer_left")
    while len(scheduler.peers()) > 1:  # it is told with the next beat
        next(left)
    return True
"""


# --- the end of the program ---------------------------------------------------------


@on_one
def test_a_program_that_ends_without_a_shutdown_neither_hangs_nor_loses(
    redis_url: str,
) -> None:
    code = (
        HEAD
        + """
begun = threading.Event()

async def work():
    begun.set()
    await asyncio.Event().wait()

scheduler = build(name="first")
scheduler.register(work)
scheduler.start()
scheduler.schedule(Job(work, id="work"))
begun.wait(10)
print("the end")
"""
    )
    assert said(code, redis_url) == ["the end"]
    with BackgroundScheduler(redis_url, **FAST) as scheduler:

        def work() -> str:
            return "done"

        scheduler.register(work)
        run = scheduler.wait("work", timeout=SOON)
        assert (run.result, run.attempt) == ("done", 1)
        kinds = [entry.kind.value for entry in scheduler.history("work")]
        assert kinds == ["succeeded", "handed_back", "created"]


@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)", "os._exit(0)"])
def test_other_ends(ending: str) -> None:
    code = HEAD + f"scheduler = build()\nscheduler.start()\n{ending}"
    assert said(code, "memory://") == []


def test_ctrl_c_frees_who_waits_and_harms_nothing() -> None:
    code = (
        HEAD
        + """
with build() as scheduler:
    scheduler.schedule(Job(add, [1], id="sum", keyword="never"))
    try:
        print("waits")
        scheduler.wait("sum")
    except KeyboardInterrupt:
        print("interrupted")
    print(scheduler.result(scheduler.start_job("sum"), timeout=10))
"""
    )
    with program(code, "memory://") as running:
        running.until("waits")
        running.signal(signal.SIGINT)
        assert running.end() == (0, "interrupted\n2\n")


@pytest.mark.parametrize("verb", ["run_forever", "shutdown"])
def test_ctrl_c_ends_a_scheduler(verb: str) -> None:
    code = (
        HEAD
        + """
scheduler = build()

async def work():
    print("begun")
    try:
        while not scheduler._life().closed:
            await asyncio.sleep(0.01)
        print("closing")
        await asyncio.Event().wait()
    finally:
        print("cancelled")

scheduler.register(work)
scheduler.start()
try:
    scheduler.schedule(Job(work))
    if sys.argv[2] == "shutdown":
        scheduler.shutdown(grace=None)
    else:
        scheduler.run_forever()
except KeyboardInterrupt:
    print("interrupted")
scheduler.shutdown(force=True)
"""
    )
    with program(code, "memory://", verb) as running:
        running.until("begun")
        if verb == "run_forever":  # which lets runs end, unless it is asked again
            running.signal(signal.SIGINT)
        lines = [running.line()]
        while lines[-1] not in ("closing", "cancelled"):
            lines.append(running.line())
        if lines[-1] == "closing":  # else it was struck before it ran for ever
            running.signal(signal.SIGINT)
        status, out = running.end()
        ended = {*lines, *out.split()} - {"closing"}
        assert (status, ended) == (0, {"cancelled", "interrupted"})


def test_a_second_signal_hurries_a_blocking_scheduler() -> None:
    code = (
        HEAD
        + """
import signal
scheduler = BlockingScheduler()
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

async def work():
    print("begun")
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled")

scheduler.on("run_started", lambda event: None)
scheduler.job(every(1).hours, id="work")(work)
scheduler.declare(Job("work", id="now", when=0.0))
scheduler.start(grace=None)
print(before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))
"""
    )
    code = code.replace("when=0.0", "trigger=IntervalTrigger(milliseconds=50)")
    with program(code, "memory://") as running:
        running.until("begun")
        running.signal(signal.SIGTERM)
        running.signal(signal.SIGINT)
        status, out = running.end()
        assert (status, out.split()[-1]) == (0, "True")


# --- forks ----------------------------------------------------------------------------


@on_one
def test_one_that_was_built_before_the_fork_is_a_peer_in_each_child(
    redis_url: str,
) -> None:
    code = (
        HEAD
        + """
scheduler = build()
@scheduler.job(IntervalTrigger(milliseconds=100), id="tick", max_runs=10)
def tick():
    return os.getpid()

children = []
for _ in range(2):
    child = os.fork()
    if not child:
        with scheduler:
            print(scheduler.id, scheduler.name == scheduler.id)
            while "tick" in scheduler:
                scheduler.wait("tick", timeout=10)
        sys.exit(0)
    children.append(child)
print(scheduler.id, True)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
with scheduler:
    runs = [entry for entry in scheduler.history("tick", runs_only=True)]
    print(len(runs), len({entry.run.key for entry in runs}))
    print(len({entry.run.result for entry in runs} - {os.getpid()}) in (1, 2))
"""
    )
    *ids, codes, counts, by = said(code, redis_url)
    assert len({line.split()[0] for line in ids}) == 3
    assert {line.split()[1] for line in ids} == {"True"}
    assert (codes, counts, by) == ("[0, 0]", "10 10", "True")


@on_one
def test_one_that_was_started_before_the_fork_starts_anew_in_the_child(
    redis_url: str,
) -> None:
    code = (
        HEAD
        + """
scheduler = build()
heard = []
told = threading.Semaphore(0)

def listener(event):
    heard.append(event.job_id)
    told.release()

scheduler.on("job_scheduled", listener)
scheduler.start()
events = scheduler.events()
own = scheduler.id
child = os.fork()
if not child:
    # All that the clean-up of what was inherited could do.
    gc.collect()
    print("child", scheduler.result(scheduler.schedule(Job(add, [1], id="c"))))
    told.acquire(timeout=10)
    print("child", scheduler.id != own, len(scheduler.peers()), heard)
    try:
        next(events)
    except SchedulerStateError as error:
        print("child", error)
    try:
        scheduler.start()
    except SchedulerStateError as error:
        print("child", error)
    sys.exit(0)  # and no shutdown
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("parent", scheduler.result(scheduler.schedule(Job(add, [2], id="p"))))
told.acquire(timeout=10)
print("parent", scheduler.id == own, alone(scheduler), heard)
scheduler.shutdown()
"""
    )
    assert said(code, redis_url) == [
        "child 2",
        "child True 2 ['c']",
        "child this iterator was made before the process was forked",
        "child the scheduler is started already; start() once is enough",
        "0",
        "parent 3",
        "parent True True ['p']",
    ]


@on_one
def test_children_of_multiprocessing_end_and_their_parent_goes_on(
    redis_url: str,
) -> None:
    code = (
        HEAD
        + """
def work(scheduler, number, answers):
    answers.put(scheduler.result(scheduler.schedule(Job(add, [number]))))

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    with build() as scheduler:
        answers = fork.SimpleQueue()
        children = [
            fork.Process(target=work, args=(scheduler, number, answers))
            for number in range(3)
        ]
        for child in children:
            child.start()
        print(sorted(answers.get() for _ in children))
        for child in children:
            child.join(15)
        print([child.exitcode for child in children])
        print(alone(scheduler), scheduler.result(
            scheduler.schedule(Job(add, [10]))))
"""
    )
    assert said(code, redis_url) == ["[1, 2, 3]", "[0, 0, 0]", "True 11"]


@on_one
def test_a_job_may_fork_and_a_child_that_uses_nothing_is_no_peer(
    redis_url: str,
) -> None:
    code = (
        HEAD
        + """
scheduler = build()

@scheduler.executor
def forking():
    child = os.fork()
    if not child:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

with scheduler:
    print(scheduler.result(scheduler.schedule(Job(forking))))
    print(len(scheduler.peers()))
"""
    )
    assert said(code, redis_url) == ["7", "1"]


def test_jobs_in_memory_stay_with_the_parent() -> None:
    code = (
        HEAD
        + """
scheduler = build()
scheduler.start()
child = os.fork()
if not child:
    try:
        scheduler.get_jobs()
    except ConfigurationError as error:
        print(error)
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
scheduler.shutdown()
child = os.fork()
if not child:
    try:
        scheduler.get_jobs()
    except SchedulerStateError as error:
        print(error)
    sys.exit(0)
os.waitpid(child, 0)
"""
    )
    first, status, second = said(code, "memory://")
    assert "this MemoryJobStore is open on another event loop" in first
    assert status == "0"
    assert second == "the scheduler is closed; build a new one"


@on_one
def test_a_scheduler_of_asyncio_refuses_to_use_its_parents_connections(
    redis_url: str,
) -> None:
    code = (
        HEAD
        + """
async def main():
    async with Scheduler(URL) as scheduler:
        child = os.fork()
        if not child:
            try:
                await scheduler.get_jobs()
            except SchedulerStateError as error:
                print(error)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        print(await scheduler.get_jobs())

asyncio.run(main())
"""
    )
    refused, answer = said(code, redis_url)
    assert "started before this process was forked" in refused
    assert answer == "[]"


@on_one
def test_a_fork_leaves_the_selector_of_the_parent_alone(redis_url: str) -> None:
    """The child closes all that it inherited, as a collector in a bad mood would."""
    code = (
        HEAD
        + """
scheduler = build()
scheduler.start()
child = os.fork()
if not child:
    loop = scheduler._lives[os.getppid()].home._loop
    for key in list(scheduler._lives[os.getppid()].home._selector.get_map().values()):
        loop._remove_reader(key.fd)
    found = [one for one in gc.get_objects() if isinstance(one, asyncio.Transport)]
    for transport in found:
        transport.close()
    os._exit(len(found) > 0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(scheduler.result(scheduler.schedule(Job(add, [2], id="p")), timeout=10))
scheduler.shutdown()
"""
    )
    assert said(code, redis_url) == ["1", "3"]


@on_one
def test_options_are_kept_in_a_child(redis_url: str) -> None:
    code = (
        HEAD
        + """
scheduler = build(
    namespace="other", name="named", queues=iter(["mail", "default"]), max_concurrency=3
)
scheduler.start()
child = os.fork()
if not child:
    one = scheduler.scheduler
    print(one.namespace, one.name, one.queues, one.max_concurrency)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
scheduler.shutdown()
"""
    )
    code = code.replace(
        "    with scheduler:\n        pass\n", "    sys.stdout.flush()\n"
    )
    assert said(code, redis_url) == ["other named ('default', 'mail') 3"]


@on_one
def test_a_job_that_was_scheduled_in_the_parent_is_seen_in_the_child(
    redis_url: str,
) -> None:
    with BackgroundScheduler(redis_url, **FAST) as scheduler:
        scheduler.schedule(Job("add", [1], id="here", keyword="k"), allow_unknown=True)
        code = (
            HEAD
            + """
scheduler = build()
scheduler.start()
child = os.fork()
if not child:
    print("here" in scheduler)
    scheduler.shutdown()
    sys.exit(0)
os.waitpid(child, 0)
scheduler.shutdown()
"""
        )
        assert said(code, redis_url) == ["True"]
