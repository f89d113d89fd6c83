"""Where the warehouse listens: what a client needs beside a login.

AWS's own secrets hold it, and clients that take a secret's ARN expect it there. Source: AWS Secrets
Manager, "JSON structure of AWS Secrets Manager secrets", Amazon Redshift and Redshift Serverless.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

ENGINE = "redshift"
FIELDS = frozenset({"engine", "host", "port", "dbname", "dbClusterIdentifier", "namespaceName"})

Connection = dict[str, str | int]


class UnknownWarehouseError(LookupError):
    """There is no such workgroup in this account and region."""


def find(client: Callable[[str], Any], parameter: str, name: str) -> Connection:
    """Host and port of a warehouse, and what AWS calls it, as secrets hold them.

    `parameter` is the Data API's argument that `name` is for. Raises UnknownWarehouseError, or
    botocore's ClientError.
    """
    if parameter == "ClusterIdentifier":
        return _of_cluster(client("redshift"), name)
    return _of_workgroup(client("redshift-serverless"), name)


def completed(secret: str, connection: Mapping[str, str | int]) -> str:
    """The secret's text with this connection in place of the one that it may hold."""
    held = json.loads(secret)
    wanted = {name: value for name, value in held.items() if name not in FIELDS}
    wanted |= {"engine": ENGINE, **connection}
    return secret if wanted == held else json.dumps(wanted)


def _of_cluster(redshift: Any, identifier: str) -> Connection:
    [cluster] = redshift.describe_clusters(ClusterIdentifier=identifier)["Clusters"]
    endpoint = cluster["Endpoint"]
    return {
        "host": endpoint["Address"],
        "port": endpoint["Port"],
        # The Data API holds it against the ClusterIdentifier that it is given.
        "dbClusterIdentifier": identifier,
    }


def _of_workgroup(serverless: Any, reference: str) -> Connection:
    """`reference` is a name, or an ARN: nothing but a list leads from that to the name."""
    for page in serverless.get_paginator("list_workgroups").paginate():
        for workgroup in page["workgroups"]:
            if reference in (workgroup["workgroupName"], workgroup["workgroupArn"]):
                return {
                    "host": workgroup["endpoint"]["address"],
                    "port": workgroup["endpoint"]["port"],
                    "namespaceName": workgroup["namespaceName"],
                }
    raise UnknownWarehouseError(f"there is no workgroup {reference} in this account and region")
