"""SIGINT and SIGTERM, raised as an exception where that leaves nothing half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The program was told to end. `exit_code` is what a shell expects then."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _State:
    shields = 0
    pending: int | None = None


def install() -> None:
    """Raise `Interrupted` in the main thread at the first signal. Later ones are ignored."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def shielded() -> Iterator[None]:
    """Put off `Interrupted` until the end of the block, which then raises it."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    if _State.pending is not None and not _State.shields:
        number, _State.pending = _State.pending, None
        raise Interrupted(number)


class Startable(Protocol):
    """What `shielded_run` runs."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def shielded_run(thing: Startable) -> Iterator[None]:
    """Start something whole, and stop it whole when the block ends or is interrupted."""
    started = False
    try:
        with shielded():
            thing.start()
            started = True
        yield
    finally:
        with shielded():
            if started:
                thing.stop()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    if _State.shields:
        _State.pending = number
    else:
        raise Interrupted(number)
