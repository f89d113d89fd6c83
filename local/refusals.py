"""What AWS refuses when a resource is made or changed, though the template passes every linter.

MiniStack takes all of it. Each rule says where AWS's refusal is known from, and yields its text.
"""

from collections.abc import Callable, Iterator
from typing import Any

from local import names

Properties = dict[str, Any]
Rule = Callable[[Properties], Iterator[str]]


class Refused(ValueError):
    """AWS would not make such a resource; the text is AWS's where that is known."""


def check(kind: str, properties: Properties) -> None:
    """Hold the rules of a type of resources against its resolved properties. Raises Refused."""
    for refusal in names.misnamed(kind, properties):
        raise Refused(refusal)
    for rule in RULES.get(kind, ()):
        for refusal in rule(properties):
            raise Refused(refusal)


def topic_policy_names_its_topic(properties: Properties) -> Iterator[str]:
    """A statement names the topic that it is set on: SNS's developer guide, policy quotas.

    AWS::SNS::TopicPolicy sets its document on each of its topics in turn (its handler).
    """
    for topic in properties["Topics"]:
        for statement in statements(properties["PolicyDocument"]):
            resources = as_list(statement.get("Resource", []))
            if len(resources) > 1:
                yield "Invalid parameter: Policy statement must apply to a single resource!"
            if resources != [topic]:
                yield "Invalid parameter: Policy Error: Invalid resource in policy"


def statements(policy: Properties) -> list[Properties]:
    """The statements of a policy, of which one may stand alone."""
    return as_list(policy["Statement"])


def as_list(value: Any) -> list[Any]:
    """What IAM's grammar lets stand alone or in a list."""
    return value if isinstance(value, list) else [value]


RULES: dict[str, tuple[Rule, ...]] = {
    "AWS::SNS::TopicPolicy": (topic_policy_names_its_topic,),
}
