"""Processes beside the first one: it alone hears Ctrl-C, and none outlives it."""

import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing import parent_process
from typing import Any


def start_deaf(processes: Sequence[Any]) -> None:
    """Start them so that Ctrl-C, which a terminal sends to every process, does not end them in mid-step.

    The disposition is inherited: a handler that they set themselves would come too late.
    """
    if threading.current_thread() is not threading.main_thread():  # no other thread may touch signals
        for each in processes:
            each.start()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for each in processes:
            each.start()
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    """From within such a process: end it when the first one was killed and could not say so."""
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
