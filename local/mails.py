"""The mails of a running laptop cloud: a queue subscribes for each reader, in place of an address.

`python -m local mails` prints those that have come since it was last asked.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from local.cloud import ACCESS_KEY, REGION, SECRET_KEY
from local.stack import Stack

QUEUE_PREFIX = "mails-to-"
READERS = ("business", "support")


@dataclass(frozen=True)
class Mail:
    """A notification as its reader sees it."""

    reader: str
    subject: str
    text: str


class Mailbox:
    """A queue that subscribes to a topic, in place of a reader's mail address."""

    def __init__(self, stack: Stack, reader: str) -> None:
        self._sqs = stack.sqs
        self._reader = reader
        self._url = subscribe(stack, reader.capitalize(), QUEUE_PREFIX + reader)

    def collect(self) -> list[Mail]:
        """Take out what has come in."""
        return list(_mails(self._sqs, self._url, self._reader))


def subscribe(stack: Stack, topic: str, queue: str, wanted: Mapping[str, Any] | None = None) -> str:
    """The URL of a new queue with this name, to which the topic, `Business` or `Support`, sends.

    `wanted` is the subscription's filter policy.
    """
    url = str(stack.sqs.create_queue(QueueName=queue)["QueueUrl"])
    attributes = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    stack.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    stack.cloud.client("sns").subscribe(
        TopicArn=stack.outputs[f"{topic}TopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"FilterPolicy": json.dumps(wanted)} if wanted else {},
    )
    return url


def received(sqs: Any, url: str) -> Iterator[str]:
    """The bodies of a queue's visible messages; each is gone once the next is asked for."""
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            yield message["Body"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def print_new(endpoint_url: str) -> None:
    """Print, and take out, the mails of a cloud that another process runs, as they would be read.

    Raises botocore's errors: nothing runs there.
    """
    sqs = boto3.client(
        "sqs",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    count = 0
    for reader in READERS:
        url = sqs.get_queue_url(QueueName=QUEUE_PREFIX + reader)["QueueUrl"]
        for mail in _mails(sqs, url, reader):
            print(f"To: {mail.reader}\nSubject: {mail.subject}\n\n{mail.text}\n\n{'-' * 80}\n")
            count += 1
    print(f"{count} new mails")


def _mails(sqs: Any, url: str, reader: str) -> Iterator[Mail]:
    for body in map(json.loads, received(sqs, url)):
        yield Mail(reader, body.get("Subject", ""), body["Message"])
