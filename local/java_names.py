"""The names of services' errors as Step Functions shows them.

Step Functions calls services through the AWS SDK for Java 2 and names an error by the SDK's class
(its CodegenNamingUtils and DefaultNamingStrategy say how a class is called). An error that the
service's model does not name has the service's base class; what never reached the service is an
`SdkClientException`. The SDK that Step Functions runs may be older than the model here, so that an
error the operation does not declare may come under either name.
"""

import re
from functools import cache

import botocore.session
from botocore.model import ServiceModel

CLIENTS = {
    "glue": "glue",
    "redshiftdata": "redshift-data",
    "s3": "s3",
    "sfn": "stepfunctions",
    "sns": "sns",
    "sqs": "sqs",
}


def pascal_case(name: str) -> str:
    """KMSThrottling is KmsThrottling, MLTransform is MlTransform."""
    spaced = re.sub(r"[^A-Za-z0-9]+", " ", name)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][A-Za-z0-9])", " ", spaced)
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", spaced)
    spaced = re.sub(r"([0-9])([A-Za-z])", r"\1 \2", spaced)
    return "".join(word.capitalize() for word in spaced.split())


def exception_class(shape: str) -> str:
    """The class of a modelled error: KMSOptInRequired is KmsOptInRequiredException."""
    if shape.endswith("Fault"):
        return pascal_case(shape.removesuffix("Fault")) + "Exception"
    return pascal_case(shape.removesuffix("Exception")) + "Exception"


def prefix(service: str) -> str:
    """How Step Functions begins the names of a service's errors: RedshiftData, Sfn, Sns."""
    return pascal_case(str(model(service).service_id))


def modelled(service: str, action: str = "") -> set[str]:
    """The names of the errors of a service's model, or of those that an action of it declares."""
    shapes = model(service).error_shapes
    if action:
        operation = model(service).operation_model(action[0].upper() + action[1:])
        shapes = operation.error_shapes
    return {f"{prefix(service)}.{exception_class(shape.name)}" for shape in shapes}


def unmodelled(service: str) -> set[str]:
    """The names under which all other failures of a call come."""
    name = prefix(service)
    return {f"{name}.{name}Exception", f"{name}.SdkClientException"}


@cache
def model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(CLIENTS[service])
