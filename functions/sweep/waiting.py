"""The files that wait under raw/: who holds them, and sending the others again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from start_loads.core import UploadedFile

from sweep import core
from sweep.executions import Executions

# Clocks of S3 and Step Functions differ; an execution cannot be older than its files otherwise.
CLOCK_MARGIN = timedelta(minutes=5)


@dataclass
class WaitingFiles:
    """The versions under raw/ that are older than the limit. Holds one page of them at a time.

    `is_late` says when there is no time left; a listing then ends early, and the next sweep
    goes on.
    """

    s3: Any
    sqs: Any
    executions: Executions
    bucket: str
    queue_url: str
    limits: core.Limits
    is_late: Callable[[], bool]
    is_backlogged: bool = False
    held: int = 0
    requeued_files: int = 0
    requeued_loads: int = 0
    _sent: set[str] = field(default_factory=set)

    def requeue(self) -> None:
        """Send again what waits, but for what the loads of the machine hold.

        In a quiet system nothing waits, and one listing is all that it costs. Where the queue holds
        so much that the files may well be in it, nothing is put on top.
        """
        if next(self._files(), None) is None:
            return
        self.is_backlogged = self._messages() > core.BACKLOG_MESSAGES
        if self.is_backlogged:
            return
        verdicts = self._verdicts()
        for body, count in core.notifications(self._unheard_of(verdicts)):
            self._send(body)
            self.requeued_files += count

    def _messages(self) -> int:
        name = "ApproximateNumberOfMessages"
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _unheard_of(self, verdicts: core.Verdicts) -> Iterator[UploadedFile]:
        """The files to be notified of anew; sends interrupted loads again on the way."""
        for file in self._files():
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

    def _verdicts(self) -> core.Verdicts:
        """What the executions say that did not end before the oldest file was there."""
        uploads = (datetime.fromisoformat(file.uploaded_at) for file in self._files())
        since = min(uploads, default=self.limits.waiting) - CLOCK_MARGIN
        verdicts = core.Verdicts(self.limits)
        for execution in self.executions.alive_since(since):
            if self.is_late():
                break
            if verdicts.wants(execution):
                described = self.executions.describe(execution["executionArn"])
                if described:
                    verdicts.add(described)
        return verdicts

    def _files(self) -> Iterator[UploadedFile]:
        """Every version counts, an overwritten or deleted one too: it was put there to load."""
        pages = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.bucket, Prefix=core.RAW_PREFIX
        )
        for page in pages:
            if self.is_late():
                return
            for version in page.get("Versions", []):
                if file := core.waiting_file(self.bucket, version, self.limits):
                    yield file
