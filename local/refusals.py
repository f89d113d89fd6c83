"""What AWS refuses when a resource is made or changed, though the template passes every linter.

MiniStack takes all of it. Each rule says where AWS's refusal is known from, and yields its text.
Sources are pages of AWS's documentation unless said otherwise; a text in quotation marks is AWS's,
from public reports.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from local import names, registry

Properties = dict[str, Any]
Rule = Callable[[Properties], Iterator[str]]

KB = 1024
ROLE_POLICIES_CHARACTERS = 10_240
TRUST_POLICY_CHARACTERS = 2_048
# The developer guide of SNS, "Amazon SNS API permissions": valid actions of a topic's policy.
TOPIC_ACTIONS = {
    "sns:addpermission",
    "sns:deletetopic",
    "sns:getdataprotectionpolicy",
    "sns:gettopicattributes",
    "sns:listsubscriptionsbytopic",
    "sns:listtagsforresource",
    "sns:publish",
    "sns:putdataprotectionpolicy",
    "sns:removepermission",
    "sns:settopicattributes",
    "sns:subscribe",
}
# The developer guide of Lambda, "Defined runtime environment variables": the reserved ones.
RESERVED_VARIABLES = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}
# API_CreateWorkgroup; those of query monitoring rules begin with "max_".
CONFIG_PARAMETERS = {
    "auto_mv",
    "datestyle",
    "enable_case_sensitive_identifier",
    "enable_user_activity_logging",
    "query_group",
    "require_ssl",
    "search_path",
    "use_fips_ssl",
}
DESCRIPTION_OF_ROLE = r"[\t\n\r\x20-\x7e\xa1-\xff]*"


class Refused(ValueError):
    """AWS would not make such a resource; the text is AWS's where that is known."""


def check(kind: str, properties: Properties) -> None:
    """Hold the rules of a type of resources against its resolved properties. Raises Refused."""
    for refusal in (*names.misnamed(kind, properties), *registry.mismatches(kind, properties)):
        raise Refused(refusal)
    for rule in RULES.get(kind, ()):
        for refusal in rule(properties):
            raise Refused(refusal)


# ---------------------------------------------------------------------------- policies


def policy_is_well_formed(policy: Properties) -> Iterator[str]:
    """IAM's JSON policy elements: what every policy has to be, whoever it is attached to."""
    if policy.get("Version", "2012-10-17") not in ("2012-10-17", "2008-10-17"):
        yield "Syntax errors in policy: Version"
    sids = Counter(statement["Sid"] for statement in statements(policy) if "Sid" in statement)
    if any(count > 1 for count in sids.values()):
        yield "Statement IDs (SID) in a single policy must be unique."
    for statement in statements(policy):
        if statement.get("Effect") not in ("Allow", "Deny"):
            yield "Syntax errors in policy: Effect"
        actions = as_list(statement.get("Action", statement.get("NotAction", [])))
        if not actions:
            yield "Policy statement must contain actions."
        for action in actions:
            if action != "*" and not re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9*?]+", action):
                yield f"Actions/Conditions must be prefaced by a vendor: {action}"


def identity_policy(policy: Properties) -> Iterator[str]:
    """A policy of a role: no principal, a resource, and plain statement ids (IAM, Sid)."""
    yield from policy_is_well_formed(policy)
    for statement in statements(policy):
        if "Principal" in statement or "NotPrincipal" in statement:
            yield "Policy document should not specify a principal."
        if not as_list(statement.get("Resource", statement.get("NotResource", []))):
            yield "Policy statement must contain resources."
        if not re.fullmatch("[0-9A-Za-z]*", statement.get("Sid", "")):
            yield "Statement IDs (SID) in a single policy may hold letters and digits only."


def resource_policy(policy: Properties) -> Iterator[str]:
    """A policy of a queue, a topic, a bucket, a key: it says for whom and for what."""
    yield from policy_is_well_formed(policy)
    for statement in statements(policy):
        if not statement.get("Principal", statement.get("NotPrincipal")):
            yield "Missing required field Principal"
        if not as_list(statement.get("Resource", statement.get("NotResource", []))):
            yield "Missing required field Resource"


def statements(policy: Properties) -> list[Properties]:
    """The statements of a policy, of which one may stand alone."""
    return as_list(policy["Statement"])


def as_list(value: Any) -> list[Any]:
    """What IAM's grammar lets stand alone or in a list."""
    return value if isinstance(value, list) else [value]


def size(document: Any) -> int:
    """The length of a document as IAM counts it: without white space."""
    return len(re.sub(r"\s", "", json.dumps(document)))


# ---------------------------------------------------------------------------- IAM


def role_policies_fit(properties: Properties) -> Iterator[str]:
    """IAM and STS quotas: 10,240 characters of inline policies a role, 2,048 of trust."""
    policies = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    if sum(map(size, policies)) > ROLE_POLICIES_CHARACTERS:
        yield f"Maximum policy size of {ROLE_POLICIES_CHARACTERS} bytes exceeded for role"
    if size(properties["AssumeRolePolicyDocument"]) > TRUST_POLICY_CHARACTERS:
        yield "Cannot exceed quota for ACLSizePerRole: 2048"
    for policy in policies:
        yield from identity_policy(policy)


def role_is_described_in_latin(properties: Properties) -> Iterator[str]:
    """API_CreateRole: Description, of at most 1,000 characters of Latin-1."""
    description = properties.get("Description", "")
    if len(description) > 1_000 or not re.fullmatch(DESCRIPTION_OF_ROLE, description):
        yield "Value at 'description' failed to satisfy constraint"


def role_trusts_somebody(properties: Properties) -> Iterator[str]:
    """A trust policy: principals, no resources ("Has prohibited field Resource")."""
    trust = properties["AssumeRolePolicyDocument"]
    yield from policy_is_well_formed(trust)
    for statement in statements(trust):
        if "Resource" in statement:
            yield "Has prohibited field Resource"
        if not statement.get("Principal"):
            yield "AssumeRole policy must contain principals"


# ---------------------------------------------------------------------------- SNS and SQS


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


def topic_policy_is_within_quotas(properties: Properties) -> Iterator[str]:
    """SNS's developer guide, "API permissions": 30 kB, 100 statements, a topic's own actions.

    `sns:*` holds others ("out of service scope").
    """
    policy = properties["PolicyDocument"]
    yield from resource_policy(policy)
    if len(json.dumps(policy)) > 30 * KB or len(statements(policy)) > 100:
        yield "Invalid parameter: Policy Error: too large"
    for statement in statements(policy):
        for action in as_list(statement.get("Action", [])):
            if action.lower() not in TOPIC_ACTIONS:
                yield "Invalid parameter: Policy statement action out of service scope!"


def subscription_has_an_address(properties: Properties) -> Iterator[str]:
    """API_Subscribe: the form of an endpoint follows its protocol ("Email address")."""
    is_mail = properties["Protocol"] in ("email", "email-json")
    if is_mail and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", properties["Endpoint"]):
        yield "Invalid parameter: Email address"


def filter_policy_is_within_quotas(properties: Properties) -> Iterator[str]:
    """SNS, "Filter policy constraints": five keys, 150 combinations, and no empty list."""
    policy = properties.get("FilterPolicy", {})
    combinations = 1
    for values in policy.values():
        combinations *= len(as_list(values))
    if len(policy) > 5 or not 1 <= combinations <= 150:
        yield "Invalid parameter: FilterPolicy: Filter policy is too complex"


def queue_policy_is_within_quotas(properties: Properties) -> Iterator[str]:
    """SQS, "Quotas related to policies": 8,192 bytes, 20 statements, 7 actions a statement."""
    policy = properties["PolicyDocument"]
    yield from resource_policy(policy)
    if len(json.dumps(policy)) > 8_192 or len(statements(policy)) > 20:
        yield "Invalid value for the parameter Policy: too large."
    for statement in statements(policy):
        actions = as_list(statement.get("Action", []))
        if len(actions) > 7:
            yield "Invalid value for the parameter Policy: more than 7 actions."
        if not all(action == "*" or action.lower().startswith("sqs:") for action in actions):
            yield "Value is invalid for parameter Policy: action out of service scope."


def queue_is_encrypted_once(properties: Properties) -> Iterator[str]:
    """SQS takes one of its two ways of encrypting ("You can use one type ... at one time")."""
    managed = str(properties.get("SqsManagedSseEnabled", "false")).lower() == "true"
    if managed and properties.get("KmsMasterKeyId"):
        yield "You can use one type of server-side encryption (SSE) at one time."


def queue_is_named_for_its_kind(properties: Properties) -> Iterator[str]:
    """API_CreateQueue: the name of a FIFO queue, and of no other, ends in .fifo."""
    fifo = str(properties.get("FifoQueue", "false")).lower() == "true"
    if "QueueName" in properties and properties["QueueName"].endswith(".fifo") != fifo:
        yield "The name of a FIFO queue can only include alphanumeric characters and end in .fifo"


def queue_gives_up_after_some_tries(properties: Properties) -> Iterator[str]:
    """SQS, "Dead-letter queues": maxReceiveCount is 1 to 1,000."""
    redrive = properties.get("RedrivePolicy")
    if redrive and not 1 <= int(redrive.get("maxReceiveCount", 0)) <= 1_000:
        yield "Value for parameter RedrivePolicy is invalid. Reason: maxReceiveCount"


# ---------------------------------------------------------------------------- S3


def bucket_is_encrypted_by_one_key(properties: Properties) -> Iterator[str]:
    """API_ServerSideEncryptionByDefault: a key only with aws:kms."""
    for rule in properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", []):
        default = rule["ServerSideEncryptionByDefault"]
        if default.get("KMSMasterKeyID") and not default["SSEAlgorithm"].startswith("aws:kms"):
            yield "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms"


def lifecycle_rules_do_something(properties: Properties) -> Iterator[str]:
    """S3, "Lifecycle configuration elements": ids are unique, each rule has an action.

    A rule expires by age, or takes markers of nothing away; not both.
    """
    rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
    ids = [rule["Id"] for rule in rules if "Id" in rule]
    if len(ids) != len(set(ids)):
        yield "RuleId must be unique. Found same ID for more than one rule"
    for rule in rules:
        actions = rule.keys() - {"Id", "Status", "Prefix", "TagFilters"}
        if not actions:
            yield "At least one action needs to be specified in a rule"
        if {"ExpiredObjectDeleteMarker"} < actions & {
            "ExpiredObjectDeleteMarker",
            "ExpirationInDays",
            "ExpirationDate",
        }:
            yield "ExpiredObjectDeleteMarker cannot be specified with Days or Date"


def bucket_policy_is_about_its_bucket(properties: Properties) -> Iterator[str]:
    """S3 refuses other resources ("Policy has invalid resource") and over 20 kB.

    And, since a new bucket blocks public access, what lets everybody in.
    """
    policy, bucket = properties["PolicyDocument"], properties["Bucket"]
    yield from resource_policy(policy)
    if len(json.dumps(policy)) > 20 * KB:
        yield "Policies must not exceed 20 kB"
    for statement in statements(policy):
        for resource in as_list(statement.get("Resource", [])):
            if not re.fullmatch(rf"arn:[a-z-]+:s3:::{re.escape(bucket)}(/.*)?", resource):
                yield "Policy has invalid resource"
        everybody = "*" in as_list(as_dict(statement.get("Principal", {})).get("AWS", []))
        if statement.get("Effect") == "Allow" and everybody and not statement.get("Condition"):
            yield "public policies are prevented by the BlockPublicPolicy setting"


# ---------------------------------------------------------------------------- KMS


def key_can_be_managed_later(properties: Properties) -> Iterator[str]:
    """API_PutKeyPolicy's lockout check: who makes the key may change its policy afterwards."""
    policy = properties["KeyPolicy"]
    yield from resource_policy(policy)
    if len(json.dumps(policy)) > 32 * KB:
        yield "The key policy exceeds 32 kB"
    administrators = [
        statement
        for statement in statements(policy)
        if statement["Effect"] == "Allow"
        and {"kms:*", "kms:PutKeyPolicy", "kms:Put*"} & set(as_list(statement["Action"]))
        and "AWS" in as_dict(statement["Principal"])
    ]
    if not administrators:
        yield "The new key policy will not allow you to update the key policy in the future."


def as_dict(principal: Any) -> Properties:
    """A principal that may be a star."""
    return principal if isinstance(principal, dict) else {"AWS": principal}


# ---------------------------------------------------------------------------- Lambda


def function_environment_fits(properties: Properties) -> Iterator[str]:
    """Lambda quotas: 4 KB of variables; names that are reserved, or no names, are refused."""
    variables = properties.get("Environment", {}).get("Variables", {})
    if len(json.dumps(variables, separators=(",", ":"), ensure_ascii=False).encode()) > 4 * KB:
        yield "the environment variables you have provided exceeded the 4KB limit"
    for name in variables:
        if name in RESERVED_VARIABLES:
            yield f"{name}: reserved keys that are currently not supported for modification"
        if not re.fullmatch("[a-zA-Z]([a-zA-Z0-9_])+", name):
            yield f"{name}: failed to satisfy constraint of environment variables' names"


def function_runtime_is_supported(properties: Properties) -> Iterator[str]:
    """Lambda runtimes, "Block function create": these cannot be created any more."""
    blocked = r"python(2\.7|3\.([6-9]|1[01]))|nodejs(1\d|[468]).*|ruby2.*|java8|go1\.x|dotnetcore.*"
    if re.fullmatch(blocked, properties.get("Runtime", "")):
        yield "The runtime parameter is no longer supported for creating or updating functions."


def mapping_batches_within_a_window(properties: Properties) -> Iterator[str]:
    """API_CreateEventSourceMapping: more than ten messages of a queue only with a window."""
    batch = int(properties.get("BatchSize", 10))
    window = int(properties.get("MaximumBatchingWindowInSeconds", 0))
    source = properties.get("EventSourceArn", "")
    if ":sqs:" in source and batch > 10 and not window:
        yield "Maximum batch window in seconds must be greater than 0 if maximum batch size is > 10"
    if source.endswith(".fifo") and (window or batch > 10):
        yield "Batching window is not supported for FIFO queues"


# ---------------------------------------------------------------------------- events and machines


def rule_has_something_to_go_by(properties: Properties) -> Iterator[str]:
    """API_PutRule: a pattern or a schedule; a pattern has at most 2,048 characters."""
    if not {"EventPattern", "ScheduleExpression"} & properties.keys():
        yield "Parameter(s) EventPattern or ScheduleExpression must be specified."
    if len(json.dumps(properties.get("EventPattern", {}), separators=(",", ":"))) > 2_048:
        yield "Event pattern is not valid. Reason: too long"


def schedule_is_spelt_as_english(properties: Properties) -> Iterator[str]:
    """EventBridge, "Rate expressions": one minute, two minutes."""
    schedule = properties.get("ScheduleExpression", "rate(1 minute)")
    rate = re.fullmatch(r"rate\(([1-9][0-9]*) (minute|hour|day)(s?)\)", schedule)
    is_rate_right = rate and (rate[1] == "1") == (rate[3] == "")
    if not is_rate_right and not re.fullmatch(r"cron\(\S+( \S+){5}\)", schedule):
        yield "Parameter ScheduleExpression is not valid."


def targets_are_within_quotas(properties: Properties) -> Iterator[str]:
    """EventBridge quotas: five targets; one that is a state machine needs a role."""
    targets = properties.get("Targets", [])
    ids = [target["Id"] for target in targets]
    if len(targets) > 5 or len(ids) != len(set(ids)):
        yield "The requested resource exceeds the maximum number allowed"
    for target in targets:
        if ":states:" in target["Arn"] and not target.get("RoleArn"):
            yield f"RoleArn is required for target {target['Arn']}."


def machine_logs_to_a_whole_group(properties: Properties) -> Iterator[str]:
    """API_CloudWatchLogsLogGroup: the ARN ends in ":*"; what is logged needs a place."""
    logging = properties.get("LoggingConfiguration", {})
    destinations = logging.get("Destinations", [])
    if logging.get("Level", "OFF") != "OFF" and len(destinations) != 1:
        yield "Invalid Logging Configuration: Must specify exactly one Log Destination."
    for destination in destinations:
        if not destination["CloudWatchLogsLogGroup"]["LogGroupArn"].endswith(":*"):
            yield "Invalid Logging Configuration: Log destination must end with ':*'"


# ---------------------------------------------------------------------------- catalog and secrets


def catalog_names_are_lower_case(properties: Properties) -> Iterator[str]:
    """Glue folds names ("Entity names are lower case"); another case would never be found again.

    Texts hold no control characters, and at most 2,048 of others.
    """
    body = properties.get("TableInput") or properties["DatabaseInput"]
    name = body.get("Name", "x")
    if name != name.lower() or not 1 <= len(name) <= 255:
        yield f"InvalidInputException: {name} is not a lower-case name of up to 255 characters"
    description = body.get("Description", "")
    if len(description) > 2_048 or re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", description):
        yield "Value at 'description' failed to satisfy constraint"


def columns_are_told_apart(properties: Properties) -> Iterator[str]:
    """Hive's rules, which Redshift Spectrum follows: no column twice, none also a partition key."""
    table = properties["TableInput"]
    columns = table.get("StorageDescriptor", {}).get("Columns", [])
    names_of_all = [column["Name"].lower() for column in columns + table.get("PartitionKeys", [])]
    if len(names_of_all) != len(set(names_of_all)):
        yield "InvalidInputException: a column's name is there twice"
    if any(len(column.get("Comment", "")) > 255 for column in columns):
        yield "Value at 'comment' failed to satisfy constraint"


def secret_is_generated_whole(properties: Properties) -> Iterator[str]:
    """API_GetRandomPassword and AWS::SecretsManager::Secret: template and key go together.

    Either a value is given or one is generated.
    """
    generate = properties.get("GenerateSecretString")
    if generate is None:
        return
    if "SecretString" in properties:
        yield "You must provide either SecretString or GenerateSecretString, not both."
    if ("SecretStringTemplate" in generate) != ("GenerateStringKey" in generate):
        yield "You must specify both SecretStringTemplate and GenerateStringKey."
    try:
        template = json.loads(generate.get("SecretStringTemplate", "{}"))
    except ValueError:
        template = None
    if not isinstance(template, dict):
        yield "SecretStringTemplate is no JSON object."
    if not 4 <= int(generate.get("PasswordLength", 32)) <= 4_096:
        yield "Password length is not between 4 and 4,096."


def secret_is_named_within_its_alphabet(properties: Properties) -> Iterator[str]:
    """API_CreateSecret: letters, digits and /_+=.@- in a name, 2,048 characters of description."""
    if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{1,512}", properties.get("Name", "x")):
        yield "Invalid name. Must be a valid name containing alphanumeric characters or /_+=.@-"
    if len(properties.get("Description", "")) > 2_048:
        yield "Value at 'description' failed to satisfy constraint"


def rotation_has_one_schedule(properties: Properties) -> Iterator[str]:
    """API_RotationRulesType: days or an expression."""
    rules = properties.get("RotationRules", {})
    if len({"AutomaticallyAfterDays", "ScheduleExpression"} & rules.keys()) == 2:
        yield "You can't specify both AutomaticallyAfterDays and ScheduleExpression."


# ---------------------------------------------------------------------------- warehouse


def database_is_named_as_redshift_does(properties: Properties) -> Iterator[str]:
    """API_CreateNamespace: the database and its administrator begin with a letter.

    The schema's patterns are not anchored.
    """
    for member in ("DbName", "AdminUsername"):
        if not re.fullmatch("[a-zA-Z][a-zA-Z_0-9+.@-]*", properties.get(member, "x")):
            yield f"#/{member}: failed validation constraint for keyword [pattern]"
    if properties.get("AdminUsername", "").lower() == "public":
        yield "The user name cannot be PUBLIC."


def administrator_s_password_is_given_once(properties: Properties) -> Iterator[str]:
    """API_CreateNamespace: no adminUserPassword together with manageAdminPassword."""
    managed = str(properties.get("ManageAdminPassword", "false")).lower() == "true"
    if managed and "AdminUserPassword" in properties:
        yield "You can't use adminUserPassword if manageAdminPassword is true."


def capacity_comes_in_steps(properties: Properties) -> Iterator[str]:
    """Redshift's management guide, "Compute capacity": 4, then by 8 up to 512, by 32 to 1,024."""
    capacity = int(properties.get("BaseCapacity", 128))
    step = 8 if capacity <= 512 else 32
    if capacity != 4 and (capacity % step or not 8 <= capacity <= 1_024):
        yield f"The base capacity {capacity} is not 4, nor a multiple of {step} from 8 to 1024."


def settings_are_known(properties: Properties) -> Iterator[str]:
    """API_CreateWorkgroup, configParameters."""
    for setting in properties.get("ConfigParameters", []):
        key = setting["ParameterKey"]
        if key not in CONFIG_PARAMETERS and not key.startswith("max_"):
            yield f"Parameter {key} is not a valid config parameter."


# ---------------------------------------------------------------------------- watching


def alarm_looks_back_a_day_at_most(properties: Properties) -> Iterator[str]:
    """CloudWatch, "Evaluating an alarm": one day, or seven with periods of an hour and longer."""
    period = int(properties.get("Period", 60))
    if period not in (10, 20, 30) and period % 60:
        yield "Invalid period: it has to be 10, 20, 30 or a multiple of 60."
    days = 7 if period >= 3_600 else 1
    if period * int(properties.get("EvaluationPeriods", 1)) > days * 86_400:
        yield "Metrics cannot be checked across more than a day (EvaluationPeriods * Period)"


def alarm_is_described_briefly(properties: Properties) -> Iterator[str]:
    """API_PutMetricAlarm, API_PutCompositeAlarm: 1,024 characters, five actions."""
    if len(properties.get("AlarmDescription", "")) > 1_024:
        yield "Value at 'alarmDescription' failed to satisfy constraint"
    for actions in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        if len(properties.get(actions, [])) > 5:
            yield f"Value at '{actions}' failed to satisfy constraint"


def composite_rule_fits(properties: Properties) -> Iterator[str]:
    """API_PutCompositeAlarm: 10,240 characters, 100 alarms."""
    rule = properties["AlarmRule"]
    if len(rule) > 10_240 or len(children(rule)) > 100:
        yield "AlarmRule is too long"


def children(rule: str) -> set[str]:
    """The alarms that a composite alarm's rule names, quoted or not."""
    return set(re.findall(r"""(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*["']?(.*?)["']?\s*\)""", rule))


def dashboard_can_be_drawn(properties: Properties) -> Iterator[str]:
    """CloudWatch, "Dashboard body structure": JSON, 24 columns, at most 500 widgets."""
    if not re.fullmatch("[A-Za-z0-9_-]{1,255}", properties.get("DashboardName", "x")):
        yield "The dashboard's name holds letters, digits, - and _ only."
    try:
        widgets = json.loads(properties["DashboardBody"])["widgets"]
    except (ValueError, KeyError, TypeError):
        yield "The field DashboardBody must be a valid JSON object"
        return
    if len(widgets) > 500:
        yield "The dashboard body is invalid, there are over 500 widgets"
    for widget in widgets:
        if "type" not in widget or "properties" not in widget:
            yield "The dashboard body is invalid: should have required property"
        if widget.get("x", 0) + widget.get("width", 6) > 24:
            yield "The dashboard body is invalid: a widget ends beyond column 24"


RULES: dict[str, tuple[Rule, ...]] = {
    "AWS::CloudWatch::Alarm": (alarm_looks_back_a_day_at_most, alarm_is_described_briefly),
    "AWS::CloudWatch::CompositeAlarm": (alarm_is_described_briefly, composite_rule_fits),
    "AWS::CloudWatch::Dashboard": (dashboard_can_be_drawn,),
    "AWS::Events::Rule": (
        rule_has_something_to_go_by,
        schedule_is_spelt_as_english,
        targets_are_within_quotas,
    ),
    "AWS::Glue::Database": (catalog_names_are_lower_case,),
    "AWS::Glue::Table": (catalog_names_are_lower_case, columns_are_told_apart),
    "AWS::IAM::Role": (role_policies_fit, role_is_described_in_latin, role_trusts_somebody),
    "AWS::KMS::Key": (key_can_be_managed_later,),
    "AWS::Lambda::EventSourceMapping": (mapping_batches_within_a_window,),
    "AWS::Lambda::Function": (function_environment_fits, function_runtime_is_supported),
    "AWS::RedshiftServerless::Namespace": (
        database_is_named_as_redshift_does,
        administrator_s_password_is_given_once,
    ),
    "AWS::RedshiftServerless::Workgroup": (capacity_comes_in_steps, settings_are_known),
    "AWS::S3::Bucket": (bucket_is_encrypted_by_one_key, lifecycle_rules_do_something),
    "AWS::S3::BucketPolicy": (bucket_policy_is_about_its_bucket,),
    "AWS::SNS::Subscription": (subscription_has_an_address, filter_policy_is_within_quotas),
    "AWS::SNS::TopicPolicy": (topic_policy_names_its_topic, topic_policy_is_within_quotas),
    "AWS::SQS::Queue": (
        queue_is_encrypted_once,
        queue_is_named_for_its_kind,
        queue_gives_up_after_some_tries,
    ),
    "AWS::SQS::QueuePolicy": (queue_policy_is_within_quotas,),
    "AWS::SecretsManager::RotationSchedule": (rotation_has_one_schedule,),
    "AWS::SecretsManager::Secret": (
        secret_is_generated_whole,
        secret_is_named_within_its_alphabet,
    ),
    "AWS::StepFunctions::StateMachine": (machine_logs_to_a_whole_group,),
}
