"""The Redshift Data API."""

from tools.probes import asks_aws
from tools.verification.bench import Bench
from tools.verification.finding import Finding, UnansweredError, finding

# Clients that take a secret's ARN want them (AWS, JSON structure of Secrets Manager secrets).
SECRET_FIELDS = {"dbname", "engine", "host", "password", "port", "username"}


@asks_aws
def repeats_token(bench: Bench) -> Finding:
    """A token that comes again gives the statement that it came with first."""
    warehouse, token = bench.warehouse, bench.name
    first, second = (
        warehouse.send(
            "execute_statement",
            SecretArn=warehouse.secrets["administrator"],
            Sql="select 1",
            ClientToken=token,
        )
        for _ in range(2)
    )
    warehouse.ended(first)
    return finding(first == second, "the same id" if first == second else "another id")


@asks_aws
def lists_by_prefix(bench: Bench) -> Finding:
    """A prefix of its name finds the caller's statement."""
    warehouse = bench.warehouse
    statement = warehouse.send(
        "execute_statement",
        SecretArn=warehouse.secrets["administrator"],
        Sql="select 1",
        StatementName=f"{bench.name}-named",
    )
    warehouse.ended(statement)
    found = warehouse.client.list_statements(
        StatementName=bench.name, Status="FINISHED", MaxResults=10
    )["Statements"]
    other = warehouse.client.list_statements(
        StatementName=f"{bench.name}-other", Status="FINISHED", MaxResults=10
    )["Statements"]
    holds = statement in [one["Id"] for one in found] and not other
    return finding(holds, f"{len(found)} statements by the prefix, {len(other)} by another")


@asks_aws
def takes_full_secret(bench: Bench) -> Finding:
    """By the loader's secret, which holds what AWS's own Redshift secrets hold."""
    fields = bench.secret_of("loader").keys()
    answer = bench.warehouse.run("select 1", "loader")
    return finding(
        not answer.error and fields >= SECRET_FIELDS,
        answer.error or f"a statement ran with a secret of {', '.join(sorted(fields))}",
    )


@asks_aws
def takes_workgroup_arn(bench: Bench) -> Finding:
    """By the verifier's own rights; how IAM judges the load role by it does not show here."""
    arn = bench.deployed.parameters.get("WorkgroupArn") or _own_workgroup(bench)
    warehouse = bench.warehouse
    statement = warehouse.send(
        "execute_statement",
        SecretArn=warehouse.secrets["administrator"],
        Sql="select 1",
        WorkgroupName=arn,
    )
    answer = warehouse.ended(statement)
    return finding(not answer.error, answer.error or "the statement ran")


def _own_workgroup(bench: Bench) -> str:
    if bench.deployed.parameters.get("ClusterArn"):
        raise UnansweredError("the warehouse is a cluster")
    name = bench.deployed.outputs["WorkgroupName"]
    answer = bench.client("redshift-serverless").get_workgroup(workgroupName=name)
    return str(answer["workgroup"]["workgroupArn"])
