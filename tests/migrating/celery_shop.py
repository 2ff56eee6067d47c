"""An application on Celery, whose broker is a folder: `messages` are what its producers wrote."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.worker import control

from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def _welcome(email: str, name: str = "") -> None:
    """Welcome somebody."""


class Shop:
    """Its tasks, and the folder in which its messages wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "broker"
        self.folder.mkdir()
        where = {
            "data_folder_in": str(self.folder),
            "data_folder_out": str(self.folder),
            "control_folder": str(folder / "control"),
        }
        self.app: Any = Celery("shop", broker="filesystem://", set_as_current=False)
        self.app.conf.broker_transport_options = where
        self.welcome: Any = self.app.task(name="shop.tasks.welcome", shared=False)(_welcome)

    def scheduled(self) -> list[dict[str, Any]]:
        """Return what a worker says of the tasks that it has and that are not due: as `inspect scheduled` does."""
        with start_worker(self.app, perform_ping_check=False, pool="solo") as worker:
            state = SimpleNamespace(consumer=worker.consumer, app=self.app)
            return wait_until(lambda: control.scheduled(state), 30)

    def messages(self) -> str:
        """Return the messages, as `cat` does."""
        return "".join(file.read_text() for file in sorted(self.folder.iterdir()))
