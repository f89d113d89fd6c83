"""The mails of a running laptop cloud: a queue subscribes for each reader, in place of an address.

`python -m local mails` prints those that have come since it was last asked.
"""

import json
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
        self._url = self._sqs.create_queue(QueueName=QUEUE_PREFIX + reader)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self._url, Attributes={"Policy": policy})
        stack.cloud.client("sns").subscribe(
            TopicArn=stack.outputs[f"{reader.capitalize()}TopicArn"], Protocol="sqs", Endpoint=arn
        )

    def collect(self) -> list[Mail]:
        """Take out what has come in, ten mails at most."""
        return _received(self._sqs, self._url, self._reader)


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
        while mails := _received(sqs, url, reader):
            for mail in mails:
                print(f"To: {mail.reader}\nSubject: {mail.subject}\n\n{mail.text}\n\n{'-' * 80}\n")
            count += len(mails)
    print(f"{count} new mails")


def _received(sqs: Any, url: str, reader: str) -> list[Mail]:
    mails = []
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        body = json.loads(message["Body"])
        mails.append(Mail(reader, body.get("Subject", ""), body["Message"]))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return mails
