"""`python -m local up | redeploy | mails | demo | dashboard`: the project on a laptop cloud."""

import argparse
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local import dashboard, demo, interrupts, mails, sam_local
from local.cloud import ACCESS_KEY, REGION, SECRET_KEY, CloudError, LaptopCloud, RunningCloud
from local.deploy import DeployError, build, deploy, update
from local.stack import Stack
from tools.datasets.choosing import PROJECT

STACK_NAME = "redshift-pipeline"
EXAMPLE_EVENT = "start_loads/s3_notification.json"
EXIT_FAILURE = 1
WAIT_SECONDS = 0.5
BUILDING = "Building the functions (sam build)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    options = _parse(arguments)
    _log_to(options.log)
    interrupts.install()
    console = Console(highlight=False)
    try:
        if options.command == "demo":
            return demo.run(console)
        if options.command == "dashboard":
            return _draw_dashboard(console, options.file)
        if options.command == "mails":
            return _print_mails(console, options.port)
        if options.command == "redeploy":
            return _redeploy(console, options)
        return _up(options)
    except (CloudError, DeployError, demo.DemoError) as error:
        console.print(str(error), style="red", markup=False)
        return EXIT_FAILURE
    except interrupts.Interrupted as interrupted:
        console.print("Interrupted; everything is taken down.")
        return interrupted.exit_code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--log", metavar="FILE", help="write the laptop cloud's log to FILE")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="load three datasets, show the results, take it down")
    drawing = commands.add_parser("dashboard", help="draw the dashboard after busy minutes")
    drawing.add_argument("file", type=Path, help="the picture, an SVG")
    reading = commands.add_parser("mails", help="print the mails that have come to a running cloud")
    reading.add_argument("--port", type=int, default=4566, help="where AWS is (4566)")
    again = commands.add_parser("redeploy", help="deploy to a running cloud what has changed since")
    again.add_argument("--port", type=int, default=4566, help="where AWS is (4566)")
    again.add_argument("--stack-name", default=STACK_NAME, help=f"({STACK_NAME})")
    up = commands.add_parser("up", help="deploy, and keep running until Ctrl-C")
    up.add_argument("--port", type=int, default=4566, help="where AWS is (4566)")
    up.add_argument("--warehouse-port", type=int, default=5439, help="where Redshift is (5439)")
    up.add_argument("--stack-name", default=STACK_NAME, help=f"({STACK_NAME})")
    up.add_argument(
        "--sam-local",
        action="store_true",
        help=f"serve containers too, and write {sam_local.FOLDER} for `sam local invoke`",
    )
    return parser.parse_args(arguments)


def _log_to(file: str | None) -> None:
    handler = logging.FileHandler(file) if file else logging.NullHandler()
    logging.basicConfig(
        level=logging.INFO if file else logging.CRITICAL,
        handlers=[handler],
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # It would explain how it parsed each statement.
    logging.getLogger("sqlfluff").setLevel(logging.WARNING)


def _draw_dashboard(console: Console, file: Path) -> int:
    cloud = LaptopCloud()
    with interrupts.shielded_run(cloud):
        with console.status("sam build, sam deploy"):
            stack = deploy(cloud, STACK_NAME, build(cloud))
        with console.status(f"{dashboard.MINUTES} busy minutes"):
            file.write_text(dashboard.picture(stack))
    return 0


def _print_mails(console: Console, port: int) -> int:
    try:
        mails.print_new(f"http://127.0.0.1:{port}")
    except (BotoCoreError, ClientError) as error:
        console.print(f"Is `make up` running? {error}", style="red", markup=False)
        return EXIT_FAILURE
    return 0


def _redeploy(console: Console, options: argparse.Namespace) -> int:
    with RunningCloud(options.port) as cloud:
        try:
            cloud.client("cloudformation").describe_stacks(StackName=options.stack_name)
        except (BotoCoreError, ClientError) as error:
            console.print(f"Is `make up` running? {error}", style="red", markup=False)
            return EXIT_FAILURE
        with _phase(BUILDING):
            build_folder = build(cloud)
        with _phase(f"Deploying {options.stack_name} (sam deploy)"):
            outputs = update(cloud, options.stack_name, build_folder)
    print(f"\nFiles of a dataset go to s3://{outputs['RawBucketName']}/raw/<dataset>/", flush=True)
    return 0


@contextmanager
def _phase(name: str) -> Iterator[None]:
    """Say what is being done, and how long it took: it may take minutes on a busy computer."""
    print(f"{name} ...", end=" ", flush=True)
    since = time.monotonic()
    yield
    print(f"{time.monotonic() - since:.0f} s", flush=True)


def _up(options: argparse.Namespace) -> int:
    bridge = sam_local.bridge_address() if options.sam_local else ""
    cloud = LaptopCloud(options.port, options.warehouse_port, bridge=bridge)
    with interrupts.shielded_run(cloud):
        with _phase(BUILDING):
            build_folder = build(cloud)
        with _phase(f"Deploying {options.stack_name} (sam deploy)"):
            stack = deploy(cloud, options.stack_name, build_folder)
        for reader in mails.READERS:
            mails.Mailbox(stack, reader)
        if options.sam_local:
            sam_local.write(stack, build_folder, bridge)
        _print_hints(stack, options.sam_local)
        try:
            # Not `signal.pause`: a signal that comes right before it would be waited for in vain.
            while True:
                time.sleep(WAIT_SECONDS)
        except interrupts.Interrupted:
            return 0  # it is how `up` is meant to end


def _print_hints(stack: Stack, serves_containers: bool) -> None:
    """Say where things are and what to try, then `ready`. Commands are there to be copied."""
    binaries = os.path.relpath(os.path.dirname(sys.executable))
    outputs = stack.outputs
    endpoint_url, port = stack.cloud.endpoint_url, stack.warehouse.port
    database = outputs["DatabaseName"]
    read_secret = (
        f"{binaries}/aws secretsmanager get-secret-value --secret-id {outputs['AdminSecretArn']} "
        "--query SecretString --output text"
    )
    pick_password = f"{binaries}/python -c 'import json; print(json.loads(input())[\"password\"])'"
    dataset = demo.with_examples()[0]
    file = demo.example_files(dataset.name)[0].relative_to(PROJECT)
    query = f"select * from mart.{next(iter(dataset.dataset.tables))} limit 10"
    print(
        f"""
AWS          {endpoint_url} ({REGION})
Warehouse    127.0.0.1:{port}, database {database}
Credentials  {read_secret}

In another terminal, first:

  export AWS_ENDPOINT_URL={endpoint_url} AWS_DEFAULT_REGION={REGION}
  export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY}

Then try: load a file, read the mails, query the result, call the function with an event.

  {binaries}/aws s3 cp {file} s3://{outputs["RawBucketName"]}/raw/{dataset.name}/

  {binaries}/python -m local mails --port {stack.cloud.port}

  PGPASSWORD=$({read_secret} | {pick_password}) \\
    psql -h 127.0.0.1 -p {port} -U etl_admin -d {database} -c '{query}'

  {binaries}/sam remote invoke StartLoadsFunction --stack-name {stack.name} \\
    --event-file events/{EXAMPLE_EVENT}
{_sam_local_hint(binaries) if serves_containers else ""}
Ctrl-C takes everything down.

ready""",
        flush=True,
    )


def _sam_local_hint(binaries: str) -> str:
    words = sam_local.command("StartLoadsFunction", EXAMPLE_EVENT)
    return f"""
The same in a container, in the runtime that Lambda has for it:

  {binaries}/sam {shlex.join(words)}
"""


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # MiniStack's idle threads would be waited for.
    os._exit(code)
