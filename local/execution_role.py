"""The role that CloudFormation works in (`--role-arn`), asked for what AWS asks it for.

MiniStack makes resources with nobody's rights. Here the role is asked where a policy easily misses
what AWS asks; each rule says where that is known from. The rest is not asked.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudformation
from ministack.services.cloudformation import engine, handlers, stacks

from local.permissions import Needed, role_may

Properties = dict[str, Any]

CALLER = "AWSCloudFormation"
SAM = "AWS::Serverless-2016-10-31"


class NotAuthorizedError(ValueError):
    """The role may not do what a resource takes; the text is AWS's."""

    def __init__(self, role: str, needed: Needed) -> None:
        account, name = role.split(":")[4], role.rpartition("/")[2]
        super().__init__(
            f"User: arn:aws:sts::{account}:assumed-role/{name}/{CALLER} is not authorized to "
            f"perform: {needed.action} on resource: {needed.resource}"
        )


class ExecutionRoles:
    """The roles of stacks, by the stacks' names: each works in the one that it was last given."""

    def __init__(self) -> None:
        self._roles: dict[str, str] = {}

    def install(self) -> None:
        """Ask the roles when change sets, and resources, are made, and when resources go."""
        operations = cloudformation._ACTION_HANDLERS
        for name in ("CreateStack", "UpdateStack"):
            operations[name] = self._noting_the_role(operations[name])
        change_set = self._expanding(operations["CreateChangeSet"])
        operations["CreateChangeSet"] = self._noting_the_role(change_set)
        provision, delete = stacks._provision_resource, stacks._delete_resource

        def provision_resource(kind: str, logical_id: str, properties: Any, stack: str) -> Any:
            self._ask(stack, asked_to_create(kind, properties))
            return provision(kind, logical_id, properties, stack)

        def delete_resource(kind: str, name: str, properties: Any, stack: str, *rest: Any) -> Any:
            self._ask(stack, asked_to_delete(kind, name))
            return delete(kind, name, properties, stack, *rest)

        stacks._provision_resource = provision_resource
        stacks._delete_resource = delete_resource

    def _ask(self, stack: str, all_needed: Iterator[Needed]) -> None:
        role = self._roles.get(stack)
        for needed in all_needed:
            # Without a role, CloudFormation works with the rights of who calls it.
            if role and not role_may(role, CALLER, needed):
                raise NotAuthorizedError(role, needed)

    def _noting_the_role(self, operation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def handle(request: Any) -> Any:
            name, role = handlers._p(request, "StackName"), handlers._p(request, "RoleARN")
            if role:
                self._roles[name] = role
            elif name not in cloudformation._stacks:
                self._roles.pop(name, None)
            return operation(request)

        return handle

    def _expanding(self, create_change_set: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A template is expanded after CreateChangeSet has answered; what is denied fails then."""

        def handle(request: Any) -> Any:
            before = set(cloudformation._change_sets)
            answer = create_change_set(request)
            for name in set(cloudformation._change_sets) - before:
                change_set = cloudformation._change_sets[name]
                try:
                    self._ask(change_set["StackName"], asked_to_expand(change_set))
                except NotAuthorizedError as refusal:
                    change_set["Status"], change_set["ExecutionStatus"] = "FAILED", "UNAVAILABLE"
                    change_set["StatusReason"] = str(refusal)
            return answer

        return handle


def asked_to_expand(change_set: Any) -> Iterator[Needed]:
    """SAM's transform is a resource of AWS's own account.

    Source: AWS CloudFormation user guide, "Control CloudFormation access with IAM"; serverless-
    application-model, issue 179.
    """
    template = engine._parse_template(change_set["_template_body"] or "{}")
    if SAM in engine.declared_transforms(template):
        resource = f"arn:aws:cloudformation:{get_region()}:aws:transform/{SAM.rpartition(':')[2]}"
        yield Needed("cloudformation:CreateChangeSet", "cloudformation", resource, {})


def asked_to_create(kind: str, properties: Properties) -> Iterator[Needed]:
    """What making a resource of a type asks for."""
    if kind == "AWS::Lambda::EventSourceMapping":
        # The mapping has no ARN yet. Source: AWS Lambda developer guide, "Fine-tuning the
        # Resources and Conditions sections of policies".
        function = f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:"
        function += str(properties["FunctionName"]).rpartition(":")[2]
        context = {"lambda:FunctionArn": function}
        yield Needed("lambda:CreateEventSourceMapping", "lambda", "*", context)
    if kind == "AWS::RedshiftServerless::Namespace":
        # Redshift Serverless says of no service that the role is for it. Source:
        # guidance-for-clickstream-analytics-on-aws, pull request 749.
        for role in properties.get("IamRoles", []):
            yield Needed("iam:PassRole", "iam", role, {})


def asked_to_delete(kind: str, name: str) -> Iterator[Needed]:
    """What taking a resource of a type back asks for."""
    if kind == "AWS::KMS::Key":
        # The type's handler gives a key none of CloudFormation's own tags (its CreateHandler).
        resource = f"arn:aws:kms:{get_region()}:{get_account_id()}:key/{name}"
        yield Needed("kms:ScheduleKeyDeletion", "kms", resource, {})
