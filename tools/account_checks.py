"""What in an account stands in the way of a deployment: names, network, quotas, permissions.

Each check takes the deployment, asks AWS with the caller's credentials, and gives one result; it
changes nothing. What it raises of botocore's errors makes it "could not ask" (tools/checks.py).
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from tools import names
from tools.checks import Result, State
from tools.deployments import Deployment
from tools.parameters import fault

GREEN, AMBER, RED = State.GREEN, State.AMBER, State.RED

# Five functions may run at once, start_loads twice: template.yaml, ScalingConfig. A new account may
# have ten in all, which is enough until a burst of other work comes by.
FUNCTIONS_AT_ONCE = 6
COMFORTABLE_AT_ONCE = 50
# https://docs.aws.amazon.com/redshift/latest/mgmt/serverless-usage-considerations.html asks for
# three subnets in three zones; its newer wording, for two without enhanced VPC routing. Either asks
# for three free addresses in each.
ZONES = 3
FEWEST_ZONES = 2
FREE_ADDRESSES = 3
# AWS's default for workgroups of an account and region, where Service Quotas does not say.
WORKGROUPS = 25
# The roles of template.yaml; tests/unit/test_preflight.py counts them.
ROLES = 8
AFTER_DESTROY = "docs/runbook.md, After make destroy"
ELSEWHERE = {"301", "PermanentRedirect"}


def region(deployment: Deployment) -> Result:
    name = "region"
    if not deployment.region:
        step = "Set one for this shell, or in your AWS profile."
        return Result(name, RED, "None is set.", step, "export AWS_REGION=us-east-1")
    partition = deployment.session.get_partition_for_region(deployment.region)
    offered = deployment.session.get_available_regions("redshift-serverless", partition)
    if deployment.makes_warehouse and deployment.region not in offered:
        return Result(
            name,
            AMBER,
            f"{deployment.region}: boto3 knows of no Redshift Serverless there.",
            "See whether AWS offers it there by now, or give ClusterArn.",
        )
    return Result(name, GREEN, f"{deployment.region}.")


def parameters(deployment: Deployment) -> Result:
    """Whether CloudFormation will take the parameters that are given."""
    faults = [text for name, value in deployment.given.items() if (text := fault(name, value))]
    if faults:
        step = "Correct --parameter-overrides, or samconfig.toml: docs/parameters.md."
        return Result("parameters", RED, " ".join(faults), step)
    return Result("parameters", GREEN, f"{len(deployment.given)} given, each as it may be.")


def credentials(deployment: Deployment) -> Result:
    name = "credentials"
    step = "Get new ones, or take another profile: export AWS_PROFILE=<profile>."
    try:
        who = deployment.caller.split(":")[5]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Result(name, RED, f"AWS refuses them: {code}.", step, "aws sso login")
    except (HTTPClientError, ResponseParserError) as error:
        step = "See to network, proxy and AWS_ENDPOINT_URL."
        return Result(name, RED, f"AWS does not answer: {error}", step)
    except BotoCoreError as error:
        return Result(name, RED, f"{str(error).rstrip('.')}.", step, "aws configure sso")
    return Result(name, GREEN, f"Account {deployment.account}, as {who}.")


def stack_name(deployment: Deployment) -> Result:
    wrong = names.problem(deployment.stack)
    if wrong:
        step = "Take another stack_name in samconfig.toml: docs/first-day.md, The stack's name."
        return Result("stack name", RED, wrong, step)
    return Result("stack name", GREEN, f"{deployment.stack}.")


def stack(deployment: Deployment) -> Result:
    name, status = "stack", deployment.status
    if not status:
        return Result(name, GREEN, "There is none of that name: it will be made.")
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "CREATE_FAILED"):
        return Result(
            name,
            RED,
            f"It is there as {status}, and cannot be deployed onto.",
            "Delete it first; it holds nothing that was loaded.",
            f"aws cloudformation delete-stack --stack-name {deployment.stack}",
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        return Result(
            name,
            RED,
            f"It is there as {status}.",
            "Have its last update rolled back to the end first.",
            f"aws cloudformation continue-update-rollback --stack-name {deployment.stack}",
        )
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        step = "Wait until CloudFormation is done with it."
        return Result(name, AMBER, f"Somebody is at it: {status}.", step)
    return Result(name, GREEN, f"It is there ({status}) and will be updated.")


def buckets(deployment: Deployment) -> Result:
    wanted = [
        f"{deployment.stack}-{purpose}-{deployment.account}-{deployment.region}"
        for purpose in ("raw", "archive")
    ]
    taken = {
        bucket: whose
        for bucket in wanted
        if bucket not in deployment.resources.values() and (whose := _owner(deployment, bucket))
    }
    if not taken:
        text = "Both names are free." if deployment.is_first else "Both are the stack's."
        return Result("buckets", GREEN, text)
    bucket, whose = next(iter(taken.items()))
    return Result(
        "buckets",
        RED,
        f"{' and '.join(taken)} {'exists' if len(taken) == 1 else 'exist'} already: {whose}.",
        f"Take another stack name, or remove what is left: {AFTER_DESTROY}.",
        f"aws s3api list-object-versions --bucket {bucket} --max-items 3",
    )


def _owner(deployment: Deployment, bucket: str) -> str:
    """Whose a bucket is; "" where there is none."""
    try:
        deployment.client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("404", "NoSuchBucket"):
            return ""
        if code in ELSEWHERE:
            return "in another region"
        # 403: another account's, or one that the caller may not look at. CloudFormation knows.
        raise
    return "this account's"


def warehouse_name(deployment: Deployment) -> Result:
    name = "warehouse name"
    client = deployment.client("redshift-serverless")
    found = [
        kind
        for kind in ("namespace", "workgroup")
        if f"Warehouse{kind.title()}" not in deployment.resources
        and _exists(client, kind, deployment.stack)
    ]
    if not found:
        text = "Free for namespace and workgroup." if deployment.is_first else "The stack's own."
        return Result(name, GREEN, text)
    kind = found[-1]
    return Result(
        name,
        RED,
        f"There is a {' and a '.join(found)} {deployment.stack} already.",
        f"Take another stack name, and go on with its ledger or remove it: {AFTER_DESTROY}.",
        f"aws redshift-serverless get-{kind} --{kind}-name {deployment.stack}",
    )


def _exists(client: Any, kind: str, name: str) -> bool:
    try:
        getattr(client, f"get_{kind}")(**{f"{kind}Name": name})
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
    return True


def catalog(deployment: Deployment) -> Result:
    database = deployment.stack.replace("-", "_")
    if deployment.resources.get("GlueDatabase") == database:
        return Result("catalog", GREEN, f"Glue database {database} is the stack's.")
    try:
        deployment.client("glue").get_database(Name=database)
    except ClientError as error:
        if error.response["Error"]["Code"] == "EntityNotFoundException":
            return Result("catalog", GREEN, f"Glue database {database} is free.")
        raise
    return Result(
        "catalog",
        RED,
        f"There is a Glue database {database} already, and not of this stack.",
        "Take another stack name, or delete it if nobody needs it.",
        f"aws glue delete-database --name {database}",
    )


def subnets(deployment: Deployment) -> Result:
    """Where the stack's own workgroup would lie."""
    given = deployment.listed("SubnetIds")
    try:
        found, where = _given_subnets(deployment, given) if given else _default_vpc(deployment)
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidSubnet"):
            raise
        message = error.response["Error"]["Message"]
        return Result("subnets", RED, f"{message}.", "Give SubnetIds of this region.")
    zones = {subnet["AvailabilityZone"] for subnet in found}
    vpcs = {subnet["VpcId"] for subnet in found}
    step = "Give SubnetIds: three of one VPC, in three availability zones."
    if not where:
        return Result("subnets", RED, "The region has no default VPC.", step)
    if len(vpcs) > 1:
        return Result("subnets", RED, f"They lie in several VPCs: {', '.join(sorted(vpcs))}.", step)
    if len(zones) < FEWEST_ZONES:
        text = f"{where} has subnets in {len(zones)} zones; a workgroup needs {ZONES}."
        return Result("subnets", RED, text, step)
    full = [s["SubnetId"] for s in found if s["AvailableIpAddressCount"] < FREE_ADDRESSES]
    if full:
        text = f"{', '.join(full)}: fewer than {FREE_ADDRESSES} free addresses."
        return Result("subnets", RED, text, "Give SubnetIds with room in each.")
    if len(zones) < ZONES or len(found) < ZONES:
        text = (
            f"{where} has {len(found)} subnets in {len(zones)} zones. AWS asks for {ZONES} in "
            f"{ZONES} as a rule, and for two where traffic takes the public way."
        )
        return Result("subnets", AMBER, text, step)
    return Result("subnets", GREEN, f"{where}: {len(found)} subnets in {len(zones)} zones.")


def _given_subnets(deployment: Deployment, ids: list[str]) -> tuple[list[Any], str]:
    answer = deployment.client("ec2").describe_subnets(SubnetIds=ids)
    return answer["Subnets"], "SubnetIds"


def _default_vpc(deployment: Deployment) -> tuple[list[Any], str]:
    """The default VPC's subnets and name; the latter is empty where there is no such VPC."""
    client = deployment.client("ec2")
    is_default = [{"Name": "is-default", "Values": ["true"]}]
    vpcs = client.describe_vpcs(Filters=is_default)["Vpcs"]
    if not vpcs:
        return [], ""
    vpc = vpcs[0]["VpcId"]
    in_it = [{"Name": "vpc-id", "Values": [vpc]}]
    return client.describe_subnets(Filters=in_it)["Subnets"], f"The default VPC {vpc}"


def lake_formation(deployment: Deployment) -> Result:
    name = "lake formation"
    answer = deployment.client("lakeformation").get_data_lake_settings()
    settings = answer["DataLakeSettings"]
    closed = [
        kind
        for kind in ("Database", "Table")
        if not any(
            entry["Principal"].get("DataLakePrincipalIdentifier") == "IAM_ALLOWED_PRINCIPALS"
            and "ALL" in entry["Permissions"]
            for entry in settings.get(f"Create{kind}DefaultPermissions", [])
        )
    ]
    if not closed:
        return Result(name, GREEN, "IAM alone decides who reads new tables of the catalog.")
    kinds = " and ".join(f"{kind.lower()}s" for kind in closed)
    return Result(
        name,
        AMBER,
        f"It governs new {kinds}: IAM policies alone let nobody in.",
        "After the deployment let IAM decide for the stack's own catalog: docs/first-day.md, Lake "
        "Formation.",
    )


def concurrency(deployment: Deployment) -> Result:
    limits = deployment.client("lambda").get_account_settings()["AccountLimit"]
    free = limits["UnreservedConcurrentExecutions"]
    step = "Ask for more; 1,000 are usual."
    command = (
        "aws service-quotas request-service-quota-increase --service-code lambda "
        "--quota-code L-B99A9384 --desired-value 1000"
    )
    text = f"{free} functions may run at once"
    if free < FUNCTIONS_AT_ONCE:
        text = f"{text}; the pipeline needs {FUNCTIONS_AT_ONCE}."
        return Result("concurrency", RED, text, step, command)
    if free < COMFORTABLE_AT_ONCE:
        text = f"{text}, all else in the account included."
        return Result("concurrency", AMBER, text, step, command)
    return Result("concurrency", GREEN, f"{text}.")


def roles(deployment: Deployment) -> Result:
    summary = deployment.client("iam").get_account_summary()["SummaryMap"]
    used, most = summary["Roles"], summary["RolesQuota"]
    needed = ROLES if deployment.is_first else 0
    if used + needed > most:
        text = f"{used:,} of {most:,} are used; the stack makes {needed}."
        return Result("roles", RED, text, "Delete roles, or ask for more.")
    if used + needed > 0.9 * most:
        return Result("roles", AMBER, f"{used:,} of {most:,} are used.", "Ask for more soon.")
    return Result("roles", GREEN, f"{used:,} of {most:,} are used.")


def workgroups(deployment: Deployment) -> Result:
    pages = deployment.client("redshift-serverless").get_paginator("list_workgroups").paginate()
    used = sum(len(page["workgroups"]) for page in pages)
    most = _workgroup_quota(deployment)
    text = f"{used} of {most or WORKGROUPS} are used."
    if used < (most or WORKGROUPS) or "WarehouseWorkgroup" in deployment.resources:
        return Result("workgroups", GREEN, text)
    step = "Delete one, ask AWS for more, or give WorkgroupArn."
    if most:
        return Result("workgroups", RED, text, step)
    return Result("workgroups", AMBER, f"{used} exist, and {WORKGROUPS} is the default.", step)


def _workgroup_quota(deployment: Deployment) -> int:
    """What Service Quotas says; 0 where it does not."""
    pages = deployment.client("service-quotas").get_paginator("list_service_quotas")
    try:
        for page in pages.paginate(ServiceCode="redshift-serverless"):
            for quota in page["Quotas"]:
                if quota["QuotaName"].lower().startswith(("workgroups", "number of workgroups")):
                    return int(quota["Value"])
    except ClientError:
        return 0
    return 0


def key(deployment: Deployment) -> Result:
    """A key of theirs: whether it is fit, and lets in who writes under it in his own name."""
    arn = deployment.parameter("KmsKeyArn")
    client = deployment.client("kms")
    try:
        found = client.describe_key(KeyId=arn)["KeyMetadata"]
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        return Result("key", RED, "There is none of KmsKeyArn.", "Give one of this region.")
    if found["KeyState"] != "Enabled" or found.get("KeyUsage") != "ENCRYPT_DECRYPT":
        state = f"{found['KeyState']}, {found.get('KeyUsage')}"
        return Result("key", RED, f"It is {state}.", "Give one that is enabled and encrypts.")
    policy = client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    shut_out = [
        service
        for service in ("s3", "cloudwatch", f"logs.{deployment.region}")
        if f"{service}.amazonaws.com" not in policy
    ]
    if shut_out:
        return Result(
            "key",
            RED,
            f"Its policy names no {' and no '.join(f'{s}.amazonaws.com' for s in shut_out)}.",
            "Let them in as EncryptionKey of template.yaml does.",
            f"aws kms get-key-policy --key-id {arn} --policy-name default",
        )
    return Result("key", GREEN, "Enabled, and its policy names the services.")


def boundary(deployment: Deployment) -> Result:
    arn = deployment.parameter("PermissionsBoundaryArn")
    try:
        deployment.client("iam").get_policy(PolicyArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        step = "Give the ARN of a managed policy."
        return Result("boundary", RED, "There is no policy PermissionsBoundaryArn.", step)
    return Result("boundary", GREEN, f"{arn.split(':')[-1]}.")


def mails(deployment: Deployment) -> Result:
    missing = [name for name in ("SupportEmail", "BusinessEmail") if not deployment.parameter(name)]
    if not missing:
        return Result("mails", GREEN, "Support and business have an address.")
    whom = {
        "SupportEmail": "nobody hears of a failed load",
        "BusinessEmail": "nobody hears of new data",
    }
    addresses = " ".join(f"{name}=<mail>" for name in missing)
    return Result(
        "mails",
        AMBER,
        f"{' and '.join(missing)} not given: {', and '.join(whom[name] for name in missing)}.",
        f"Give {'it' if len(missing) == 1 else 'both'} once; CloudFormation keeps addresses.",
        f'make deploy ENV={deployment.environment} ARGS="--parameter-overrides {addresses}"',
    )
