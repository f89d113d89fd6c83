import json

from local.cloud import LaptopCloud
from local.stack import Stack
from tests.local.test_cloud import role
from tests.operating import wait_until

PAGE = 10


def test_all_executions_are_listed_oldest_first(cloud: LaptopCloud) -> None:
    client = cloud.client("stepfunctions")
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    machine = client.create_state_machine(
        name="many",
        definition=json.dumps(definition),
        roleArn=role(cloud, "many", "states.amazonaws.com", []),
    )["stateMachineArn"]
    names = [f"execution-{number}" for number in range(PAGE + 5)]
    for name in names:
        client.start_execution(stateMachineArn=machine, name=name)
    # One that ends between two pages changes its place, and is on neither.
    wait_until(
        lambda: (
            not client.list_executions(stateMachineArn=machine, statusFilter="RUNNING")[
                "executions"
            ]
        )
    )

    stack = Stack(cloud, "many", {"LoadStateMachineArn": machine})
    stack.step_functions.meta.events.register(
        "provide-client-params.stepfunctions.ListExecutions",
        lambda params, **_: {**params, "maxResults": PAGE},
    )

    listed = [execution["name"] for execution in stack.executions()]
    assert sorted(listed) == sorted(names)
    assert listed[0] == names[0]
