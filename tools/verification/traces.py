"""What a verification makes, and how that goes again."""

from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from tools.verification.finding import UnansweredError

GONE = {
    "EntityNotFoundException",
    "NoSuchBucket",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
}


@dataclass(frozen=True)
class Trace:
    """One thing that is made; `command` removes it by hand."""

    what: str
    remove: Callable[[], object]
    command: str


@dataclass
class Traces:
    """What is to be removed in the end, in the order in which it was made.

    It is named before it is made: an interrupt in between leaves nothing.
    """

    made: list[Trace] = field(default_factory=list)

    def will_make(self, what: str, remove: Callable[[], object], command: str) -> None:
        if all(trace.what != what for trace in self.made):
            self.made.append(Trace(what, remove, command))

    def remove(self) -> list[str]:
        """Remove the last made first. Returns what could not be removed, and how to do it."""
        stays = []
        while self.made:
            trace = self.made[-1]
            try:
                trace.remove()
            except (ClientError, BotoCoreError, UnansweredError) as error:
                if not _is_gone(error):
                    stays.append(f"{trace.what} ({error})\n  {trace.command}")
            self.made.pop()
        return stays


def _is_gone(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in GONE
