"""A Qt program whose loop is asyncio's too, so that jobs may touch its widgets.

::

    python qt_app.py                              # a window that shows each tick
    QT_QPA_PLATFORM=offscreen python qt_app.py 3  # without a screen; ends by itself
"""

from __future__ import annotations

import asyncio
import os
import sys

import qasync
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget

from aiosched import Context, IntervalTrigger, Job, Scheduler


class Window(QWidget):
    """Shows what the jobs have done, and asks for one more."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Build the widgets, and register what the jobs do with them."""
        super().__init__()
        self.scheduler = scheduler
        self.ticks = QLabel("nothing yet")
        self.answer = QLabel("")
        self.button = QPushButton("Work")
        self.button.clicked.connect(self.work)
        layout = QVBoxLayout(self)
        for widget in (self.ticks, self.answer, self.button):
            layout.addWidget(widget)
        self.count = 0
        scheduler.register(self.tick, name="tick")
        scheduler.register(heavy)
        scheduler.declare(
            Job("tick", id="tick", trigger=IntervalTrigger(milliseconds=200))
        )

    async def tick(self, context: Context) -> None:
        """Show a slot; coroutines are run in the thread of the widgets."""
        self.count += 1
        self.ticks.setText(f"tick {self.count} of {context.fire_time:%H:%M:%S}")
        print(self.ticks.text(), flush=True)

    @qasync.asyncSlot()
    async def work(self) -> None:
        """Have something heavy done in a thread, and show what comes of it."""
        job = await self.scheduler.schedule(Job("heavy", args=(1_000_000,)))
        self.answer.setText(f"the sum is {await self.scheduler.result(job)}")
        print(self.answer.text(), flush=True)


def heavy(upto: int) -> int:
    """Work in a thread, so that the window goes on; it may not touch widgets."""
    return sum(range(upto))


async def main(application: QApplication, ticks: int | None) -> None:
    """Show the window until it is closed, or so many ticks have come."""
    closed = asyncio.Event()
    application.lastWindowClosed.connect(closed.set)
    store = os.environ.get("REDIS_URL", "memory://")
    scheduler = Scheduler(store, namespace="qt")
    window = Window(scheduler)
    async with scheduler:
        window.show()
        if ticks is not None:
            window.button.click()
            async for _ in scheduler.events("run_ended"):
                if window.count >= ticks and window.answer.text():
                    break
            window.close()
        await closed.wait()
    print("ended", flush=True)


if __name__ == "__main__":
    application = QApplication(sys.argv)
    application.setQuitOnLastWindowClosed(False)  # the scheduler ends first
    given = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with asyncio.Runner(loop_factory=qasync.QEventLoop) as runner:
        runner.run(main(application, given))
