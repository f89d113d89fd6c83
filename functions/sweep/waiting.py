"""The files that wait under raw/: who holds them, and sending the others again."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from start_loads.core import UploadedFile

from sweep import core
from sweep.executions import Executions
from sweep.place import Marker, Place, after

# Clocks of S3 and Step Functions differ; an execution cannot be older than its files otherwise.
CLOCK_MARGIN = timedelta(minutes=5)
# The files of so many pages are held at a time, and dealt with before the next ones are listed.
PAGES_AT_A_TIME = 5


@dataclass
class WaitingFiles:
    """The versions under raw/ that are older than the limit. Holds some pages of them at a time.

    `is_late` says when there is no time left; the next sweep then goes on from `place`.
    """

    s3: Any
    sqs: Any
    executions: Executions
    bucket: str
    queue_url: str
    limits: core.Limits
    is_late: Callable[[], bool]
    place: Place
    is_complete: bool = False
    is_backlogged: bool = False
    held: int = 0
    requeued_files: int = 0
    requeued_loads: int = 0
    _sent: set[str] = field(default_factory=set)
    _verdicts: core.Verdicts | None = None
    _since: datetime | None = None

    def requeue(self) -> None:
        """Send again what waits, but for what the loads of the machine hold.

        In a quiet system nothing waits, and one listing is all that it costs. Where the queue holds
        so much that the files may well be in it, nothing is put on top.
        """
        begun_at = place = self.place.read()
        while not self.is_late():
            files, following = self._next_files(place)
            if files and not self._deal_with(files):
                break
            place = following
            if not place:
                self.is_complete = True
                break
        if place != begun_at:
            self.place.write(place)

    def _deal_with(self, files: list[UploadedFile]) -> bool:
        """Send again those that nobody holds; False where they are to be looked at once more."""
        self.is_backlogged = self._messages() > core.BACKLOG_MESSAGES
        if self.is_backlogged:
            return False
        verdicts = self._verdicts_on(files)
        if self.is_late():
            return False
        for body, count in core.notifications(self._unheard_of(files, verdicts)):
            self._send(body)
            self.requeued_files += count
        return True

    def _messages(self) -> int:
        name = "ApproximateNumberOfMessages"
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _unheard_of(
        self, files: Iterable[UploadedFile], verdicts: core.Verdicts
    ) -> Iterator[UploadedFile]:
        """The files to be notified of anew; sends interrupted loads again on the way."""
        for file in files:
            if file.file_id in verdicts.held:
                self.held += 1
            elif file.file_id in verdicts.interrupted:
                self._send_load(verdicts.interrupted[file.file_id])
            else:
                yield file

    def _send_load(self, execution_arn: str) -> None:
        if execution_arn in self._sent:
            return
        self._sent.add(execution_arn)
        execution = self.executions.describe(execution_arn)
        if execution and (load := core.load_of(execution)):
            self._send(core.load_message(load))
            self.requeued_loads += 1

    def _send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def _verdicts_on(self, files: list[UploadedFile]) -> core.Verdicts:
        """What the executions say that did not end before the oldest of the files was there."""
        uploads = [datetime.fromisoformat(file.uploaded_at) for file in files]
        since = min(uploads) - CLOCK_MARGIN
        verdicts = self._verdicts = self._verdicts or core.Verdicts(self.limits)
        # Those of earlier files hold for these, as far back as executions were looked at.
        if self._since is None or since < self._since:
            self._since = since
            for execution in self.executions.alive_since(since):
                if self.is_late():
                    break
                if verdicts.wants(execution):
                    described = self.executions.describe(execution["executionArn"])
                    if described:
                        verdicts.add(described)
        return verdicts

    def _next_files(self, place: Marker) -> tuple[list[UploadedFile], Marker]:
        """What waits on the next pages, and where to go on after them.

        Every version counts, an overwritten or deleted one too: it was put there to load.
        """
        files: list[UploadedFile] = []
        pages = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.bucket, Prefix=core.RAW_PREFIX, **place
        )
        for number, page in enumerate(pages, start=1):
            found = (
                core.waiting_file(self.bucket, version, self.limits)
                for version in page.get("Versions", [])
            )
            files += [file for file in found if file]
            place = after(page)
            if number == PAGES_AT_A_TIME or self.is_late():
                break
        return files, place
