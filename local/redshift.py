"""Redshift for CloudFormation: a serverless workgroup, or a cluster, is a running warehouse."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.warehouse import Warehouse

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, Any]]

# AWS's handler puts what has changed of these into one UpdateWorkgroup, which takes one of them.
# Source: UpdateHandler of AWS::RedshiftServerless::Workgroup; terraform-provider-aws, issue 28108.
WORKGROUP_SETTINGS = (
    *("BaseCapacity", "MaxCapacity", "EnhancedVpcRouting", "ConfigParameters"),
    *("PubliclyAccessible", "SubnetIds", "SecurityGroupIds", "Port"),
)


class NotPossible(ValueError):
    """What the service refuses; `code` is the exception's name in its model."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Namespace:
    """The properties of an AWS::RedshiftServerless::Namespace, and its ARN.

    `warehouse` holds its data from its first workgroup on. It rests while there is no workgroup.
    """

    properties: Properties
    arn: str
    warehouse: Warehouse | None = None

    @property
    def name(self) -> str:
        return str(self.properties["NamespaceName"])

    @property
    def database(self) -> str:
        return str(self.properties.get("DbName", "dev"))

    def attributes(self) -> dict[str, Any]:
        return {
            "Namespace.NamespaceName": self.name,
            "Namespace.NamespaceArn": self.arn,
            "Namespace.NamespaceId": self.arn.rsplit("/", 1)[-1],
            "Namespace.DbName": self.database,
            "Namespace.AdminUsername": self.properties.get("AdminUsername", "admin"),
            "Namespace.IamRoles": self.properties.get("IamRoles", []),
            "Namespace.DefaultIamRoleArn": self.properties.get("DefaultIamRoleArn", ""),
            "Namespace.Status": "AVAILABLE",
        }


@dataclass
class Workgroup:
    """The properties of an AWS::RedshiftServerless::Workgroup, its ARN and its port."""

    properties: Properties
    arn: str
    port: int

    @property
    def name(self) -> str:
        return str(self.properties["WorkgroupName"])

    @property
    def namespace(self) -> str:
        return str(self.properties["NamespaceName"])

    def attributes(self) -> dict[str, Any]:
        return {
            "Workgroup.WorkgroupName": self.name,
            "Workgroup.WorkgroupArn": self.arn,
            "Workgroup.WorkgroupId": self.arn.rsplit("/", 1)[-1],
            "Workgroup.NamespaceName": self.namespace,
            "Workgroup.BaseCapacity": self.properties.get("BaseCapacity", 128),
            "Workgroup.Endpoint.Address": "127.0.0.1",
            "Workgroup.Endpoint.Port": self.port,
            "Workgroup.Status": "AVAILABLE",
        }


@dataclass
class Redshift:
    """The namespaces, workgroups and clusters of a laptop cloud.

    `start_warehouse` takes a namespace and answers the running warehouse of its workgroup.
    `new_arn` takes a kind and an id. `warehouses` holds the running ones, a workgroup's by its name
    and by its ARN, a cluster's by its identifier. The methods named after CloudFormation's verbs
    take and answer what MiniStack's provisioners do; they raise ValueError, which fails the
    resource.
    """

    start_warehouse: Callable[[Namespace], Warehouse]
    new_arn: Callable[[str, str], str]
    warehouses: dict[str, Warehouse] = field(default_factory=dict)
    workgroups: dict[str, Workgroup] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def arn(self, reference: str) -> str:
        """The ARN of what a request may call a warehouse, or '*' where there is no such one."""
        if reference not in self.warehouses:
            return "*"
        if reference in self.workgroups:
            return self.workgroups[reference].arn
        return reference if reference.startswith("arn:") else self.new_arn("cluster", reference)

    def namespace(self, name: str) -> Namespace:
        """The namespace of that name. Raises NotPossible."""
        if name not in self.namespaces:
            raise NotPossible(
                "ResourceNotFoundException", f"Serverless namespace {name} not found."
            )
        return self.namespaces[name]

    def refuse_snapshot_without_workgroup(self, namespace: str) -> None:
        """Raise NotPossible for a namespace that has none, as AWS does."""
        if not self._has_workgroup(namespace):
            raise NotPossible(
                "ValidationException",
                "You can't create a snapshot because there isn't a workgroup created for the "
                f"namespace {namespace}.",
            )

    def create_namespace(self, _id: str, properties: Properties, _stack: str) -> Provisioned:
        name = str(properties["NamespaceName"])
        with self._lock:
            if name in self.namespaces:
                raise NotPossible("ConflictException", f"A namespace named {name} already exists.")
            arn = self.new_arn("namespace", str(uuid.uuid4()))
            namespace = self.namespaces[name] = Namespace(properties, arn)
        return name, namespace.attributes()

    def update_namespace(
        self, name: str, _old: Properties, new: Properties, _stack: str
    ) -> Provisioned:
        """A changed `DbName` is passed over: so does AWS's handler, since no API renames one."""
        _refuse_rename(name, new["NamespaceName"])
        namespace = self.namespaces[name]
        namespace.properties = {**new, "DbName": namespace.database}
        return name, self.namespaces[name].attributes()

    def delete_namespace(self, name: str, properties: Properties) -> None:
        with self._lock:
            if self._has_workgroup(name):
                raise NotPossible(
                    "ConflictException", f"The namespace {name} has a workgroup: delete that first."
                )
            # AWS's handler passes the name on; the workgroup of the stack is gone by now.
            if properties.get("FinalSnapshotName"):
                self.refuse_snapshot_without_workgroup(name)
            namespace = self.namespaces.pop(name, None)
        if namespace and namespace.warehouse:
            namespace.warehouse.stop()

    def create_workgroup(self, _id: str, properties: Properties, _stack: str) -> Provisioned:
        name = str(properties["WorkgroupName"])
        namespace = self.namespace(str(properties["NamespaceName"]))
        if self._has_workgroup(namespace.name):
            raise NotPossible("ConflictException", f"{namespace.name} has a workgroup already.")
        warehouse = self._start(name, namespace)
        arn = self.new_arn("workgroup", str(uuid.uuid4()))
        workgroup = self.workgroups[name] = Workgroup(properties, arn, warehouse.port)
        self.warehouses[arn] = warehouse
        return name, workgroup.attributes()

    def update_workgroup(
        self, name: str, old: Properties, new: Properties, _stack: str
    ) -> Provisioned:
        _refuse_rename(name, new["WorkgroupName"])
        if sum(old.get(setting) != new.get(setting) for setting in WORKGROUP_SETTINGS) > 1:
            raise ValueError(
                f"Can't update multiple configurations at the same time for workgroup {name}."
            )
        self.workgroups[name].properties = new
        return name, self.workgroups[name].attributes()

    def delete_workgroup(self, name: str, _properties: Properties) -> None:
        """Rest the namespace's data: they are there for the next workgroup."""
        workgroup = self.workgroups.pop(name, None)
        if workgroup is None:
            return
        del self.warehouses[workgroup.arn]
        self.warehouses.pop(name).rest()

    def delete_cluster(self, name: str, _properties: Properties) -> None:
        warehouse = self.warehouses.pop(name, None)
        if warehouse:
            warehouse.stop()

    def create_cluster(self, _id: str, properties: Properties, _stack: str) -> Provisioned:
        name = str(properties["ClusterIdentifier"])
        as_namespace = {
            "AdminUsername": properties["MasterUsername"],
            "AdminUserPassword": properties["MasterUserPassword"],
            "DbName": properties["DBName"],
        }
        warehouse = self._start(name, Namespace(as_namespace, self.new_arn("cluster", name)))
        return name, {"Endpoint.Address": "127.0.0.1", "Endpoint.Port": warehouse.port}

    def stop(self) -> None:
        """Stop every warehouse. None starts after this."""
        with self._lock:
            self._stopped = True
        resting = [namespace.warehouse for namespace in self.namespaces.values()]
        for warehouse in {*self.warehouses.values(), *filter(None, resting)}:
            warehouse.stop()

    def _has_workgroup(self, namespace: str) -> bool:
        return any(group.namespace == namespace for group in self.workgroups.values())

    def _start(self, name: str, namespace: Namespace) -> Warehouse:
        # Held while it starts, so that `stop` finds each warehouse either whole or not at all.
        with self._lock:
            if self._stopped or name in self.warehouses:
                raise ValueError(f"A warehouse named {name} cannot be made, or exists already.")
            if namespace.warehouse:
                namespace.warehouse.restart()
            else:
                namespace.warehouse = self.start_warehouse(namespace)
            self.warehouses[name] = namespace.warehouse
        return namespace.warehouse


def _refuse_rename(name: str, wanted: str) -> None:
    if name != wanted:
        raise ValueError(f"The laptop cloud cannot rename {name} to {wanted}: delete the stack.")
