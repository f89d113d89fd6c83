"""The API of Redshift Serverless, as far as somebody operates the product with it.

A snapshot has a name here, and no content: it cannot be restored from.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from local.redshift import NotPossible, Redshift

Answer = tuple[int, dict[str, str], bytes]
Fields = dict[str, Any]


class RedshiftServerlessApi:
    """The service; `handle` is for MiniStack."""

    def __init__(self, redshift: Redshift) -> None:
        self._redshift = redshift
        self._snapshots: dict[str, Fields] = {}
        self._operations: dict[str, Callable[[Fields], Fields]] = {
            "CreateSnapshot": self._create_snapshot,
            "GetSnapshot": self._get_snapshot,
            "DeleteSnapshot": self._delete_snapshot,
            "GetNamespace": self._get_namespace,
            "ListNamespaces": self._list_namespaces,
            "DeleteNamespace": self._delete_namespace,
            "GetWorkgroup": self._get_workgroup,
            "ListWorkgroups": self._list_workgroups,
        }

    async def handle(
        self, _method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Any
    ) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        try:
            if operation not in self._operations:
                raise NotPossible("UnknownOperationException", f"not on the laptop: {operation}")
            request = _validated(operation, body)
            # Ending a warehouse takes a moment, and MiniStack's loop must go on.
            answer = await asyncio.to_thread(self._operations[operation], request)
        except NotPossible as error:
            return _json_answer(400, {"__type": error.code, "message": str(error)})
        return _json_answer(200, answer)

    def _create_snapshot(self, request: Fields) -> Fields:
        namespace = self._redshift.namespace(request["namespaceName"])
        self._redshift.refuse_snapshot_without_workgroup(namespace.name)
        name = request["snapshotName"]
        if name in self._snapshots:
            raise NotPossible("ConflictException", f"Snapshot {name} already exists.")
        self._snapshots[name] = {
            "snapshotName": name,
            "namespaceName": namespace.name,
            "namespaceArn": namespace.arn,
            "snapshotArn": self._redshift.new_arn("snapshot", name),
            "snapshotCreateTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "snapshotRetentionPeriod": request.get("retentionPeriod", -1),
            "status": "CREATING",
        }
        return {"snapshot": dict(self._snapshots[name])}

    def _get_snapshot(self, request: Fields) -> Fields:
        """Available when it is looked at for the second time, so that whoever waits has to."""
        snapshot = self._snapshot(request)
        answer = {"snapshot": dict(snapshot)}
        snapshot["status"] = "AVAILABLE"
        return answer

    def _delete_snapshot(self, request: Fields) -> Fields:
        snapshot = self._snapshot(request)
        del self._snapshots[snapshot["snapshotName"]]
        return {"snapshot": {**snapshot, "status": "DELETED"}}

    def _snapshot(self, request: Fields) -> Fields:
        name = request.get("snapshotName", "")
        if name not in self._snapshots:
            raise NotPossible("ResourceNotFoundException", f"Snapshot {name} not found.")
        return self._snapshots[name]

    def _get_namespace(self, request: Fields) -> Fields:
        namespace = self._redshift.namespace(request["namespaceName"])
        return {"namespace": _members(namespace.attributes())}

    def _list_namespaces(self, _request: Fields) -> Fields:
        found = list(self._redshift.namespaces.values())
        return {"namespaces": [_members(namespace.attributes()) for namespace in found]}

    def _delete_namespace(self, request: Fields) -> Fields:
        namespace = self._redshift.namespace(request["namespaceName"])
        final = {"FinalSnapshotName": request.get("finalSnapshotName", "")}
        self._redshift.delete_namespace(namespace.name, final)
        return {"namespace": {**_members(namespace.attributes()), "status": "DELETING"}}

    def _get_workgroup(self, request: Fields) -> Fields:
        name = request["workgroupName"]
        if name not in self._redshift.workgroups:
            raise NotPossible("ResourceNotFoundException", f"Workgroup {name} not found.")
        return {"workgroup": _members(self._redshift.workgroups[name].attributes())}

    def _list_workgroups(self, _request: Fields) -> Fields:
        found = list(self._redshift.workgroups.values())
        return {"workgroups": [_members(workgroup.attributes()) for workgroup in found]}


def _members(attributes: Fields) -> Fields:
    """The members of the API's answer from the attributes that CloudFormation knows.

    `Workgroup.Endpoint.Port` is a member `port` of a member `endpoint`.
    """
    answer: Fields = {}
    for path, value in attributes.items():
        *parents, last = [part[0].lower() + part[1:] for part in path.split(".")[1:]]
        place = answer
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return answer


@cache
def _model() -> ServiceModel:
    return botocore.session.get_session().get_service_model("redshift-serverless")


def _validated(operation: str, body: bytes) -> Fields:
    """The request's members, checked against the service's model."""
    shape: Any = _model().operation_model(operation).input_shape
    request: Fields = json.loads(body or b"{}")
    problems = ParamValidator().validate(request, shape)
    if problems.has_errors():
        raise NotPossible("ValidationException", problems.generate_report())
    return request


def _json_answer(status: int, fields: Fields) -> Answer:
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return status, headers, json.dumps(fields).encode()
