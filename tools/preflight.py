"""Say, before a deployment, what would fail and what to do about it.

    python -m tools.preflight --env dev [options of `sam deploy`]

One line a check: green, amber (could not be asked, or may hurt later), red (will fail), with the
next step. Credentials and region are those of the environment, as for the AWS CLI. It changes
nothing. With --quick it asks only what takes no time and prints only what is red; this is how
`make deploy` begins. Exit code 1 when anything is red.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from botocore.exceptions import BotoCoreError

from tools import account_checks, checks, warehouse_checks
from tools.checks import Result, State
from tools.deployments import Deployment, of_environment
from tools.stacks import StackError

AccountCheck = Callable[[Deployment], Result]
Subject = TypeVar("Subject")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    try:
        deployment = of_environment(
            options.env,
            options.stack_name,
            options.region,
            options.profile,
            options.parameter_overrides,
        )
    except (BotoCoreError, StackError) as error:
        print(f"preflight: {error}", file=sys.stderr)
        return 1
    if options.quick:
        found = list(results(deployment, quick=True))
        red = [result for result in found if result.state is State.RED]
        if red:
            checks.show(red)
    else:
        print(f"{deployment.stack}: what would a deployment meet?\n")
        found = checks.show(results(deployment))
    return checks.exit_code(found)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. Those of `sam deploy` that say nothing about what is checked are passed over."""
    parser = argparse.ArgumentParser(prog="make preflight", description=__doc__, allow_abbrev=False)
    parser.add_argument("--env", required=True, help="an environment of samconfig.toml")
    parser.add_argument("--quick", action="store_true", help="the cheap checks; print what is red")
    for name in ("--stack-name", "--region", "--profile"):
        parser.add_argument(name, default="")
    parser.add_argument("--parameter-overrides", nargs="+", default=[], metavar="NAME=VALUE")
    options, _ = parser.parse_known_args(arguments)
    return options


def results(deployment: Deployment, quick: bool = False) -> Iterator[Result]:
    """What each check finds. Without region and good credentials nothing more is asked."""
    name = _run(account_checks.stack_name, deployment)
    yield name
    yield _run(account_checks.parameters, deployment)
    for check in (account_checks.region, account_checks.credentials):
        result = _run(check, deployment)
        yield result
        if result.state is State.RED:
            return
    if name.state is State.GREEN:
        yield from _all(_of_names(deployment), deployment)
    if deployment.makes_warehouse:
        yield _run(account_checks.subnets, deployment)
    if not quick:
        yield from _all(_of_account(deployment), deployment)
        if not deployment.makes_warehouse:
            yield from _of_warehouse(warehouse_checks.Warehouse(deployment))


def _of_names(deployment: Deployment) -> Iterator[AccountCheck]:
    """What is called after the stack."""
    yield account_checks.stack
    yield account_checks.buckets
    if deployment.makes_warehouse:
        yield account_checks.warehouse_name
    yield account_checks.catalog


def _of_account(deployment: Deployment) -> Iterator[AccountCheck]:
    if deployment.makes_warehouse:
        yield account_checks.workgroups
    yield account_checks.concurrency
    yield account_checks.roles
    yield account_checks.lake_formation
    if deployment.parameter("KmsKeyArn") not in ("", "aws-managed"):
        yield account_checks.key
    if deployment.parameter("PermissionsBoundaryArn"):
        yield account_checks.boundary
    yield account_checks.mails


def _of_warehouse(warehouse: warehouse_checks.Warehouse) -> Iterator[Result]:
    first = _run(warehouse_checks.your_warehouse, warehouse)
    yield first
    if first.state is State.RED:
        return
    further = (
        warehouse_checks.secret,
        warehouse_checks.login,
        warehouse_checks.isolation_level,
        warehouse_checks.spectrum_role,
    )
    yield from _all(further, warehouse)


def _all(which: Iterable[Callable[[Subject], Result]], subject: Subject) -> Iterator[Result]:
    return (_run(check, subject) for check in which)


def _run(check: Callable[[Subject], Result], subject: Subject) -> Result:
    return checks.run(check.__name__.replace("_", " "), lambda: check(subject))


if __name__ == "__main__":
    sys.exit(main())
