"""MeasureLoadsFunction: tells CloudWatch what became of each load.

Called by: an EventBridge rule, when an execution of the load machine has ended.
Input:     EventBridge's "Step Functions Execution Status Change". It says how the execution ended;
           its input, which the event may leave out, comes from Step Functions.
Output:    the names and values that were measured.
Errors:    core.LaggingDescriptionError; botocore's ClientError and BotoCoreError, after their
           retries. Lambda tries again twice; a load that was not measured then is loaded all the
           same.
Duplicates: EventBridge delivers at least once; a second event counts a load a second time.
Settings:  POWERTOOLS_METRICS_NAMESPACE, POWERTOOLS_SERVICE_NAME.
"""

from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from measure_loads import core

logger = Logger()
metrics = Metrics()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[float]]:
    """Measure one load; see the module for the shapes."""
    detail = event["detail"]
    described = states_client().describe_execution(executionArn=detail["executionArn"])
    execution = core.ended(described, detail)
    measurement = core.measure(execution)
    logger.set_correlation_id(core.load_id_of(execution))
    if measurement.dataset:
        metrics.add_dimension("dataset", measurement.dataset)
        # The same once more over all datasets, for what is about the whole.
        metrics.add_dimensions(service=str(metrics.service))
    measured: dict[str, list[float]] = {}
    for metric in measurement.metrics:
        metrics.add_metric(name=metric.name, unit=metric.unit, value=metric.value)
        measured.setdefault(metric.name, []).append(metric.value)
    logger.info("measured", dataset=measurement.dataset, metrics=measured)
    return measured


@cache
def states_client() -> Any:
    """The Step Functions client, made at the first use; throttled calls are tried again."""
    return boto3.client("stepfunctions", config=Config(retries={"mode": "standard"}))
