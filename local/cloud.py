"""The laptop cloud: MiniStack in a thread, PostgreSQL warehouses, a Spectrum server.

Everything listens on 127.0.0.1, and nowhere else unless it is told to; state is in memory, and
files are in one temporary folder that `stop` removes. MiniStack keeps its state in modules and
reads its settings when they are imported, hence one cloud per process.
"""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from local.dialect import translate
from local.redshift import Namespace, Redshift
from local.sdk_tasks import Hook, RoleClients, SdkTasks
from local.warehouse import Warehouse

REGION = "us-east-1"
ACCOUNT = "000000000000"
HOST = "127.0.0.1"
# CloudFormation's bucket in us-east-1, whose hyphens it leaves out.
ANSWERS_AT = "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com"
FUNCTION_HOST = str(Path(__file__).parent / "function_host")
ACCESS_KEY = SECRET_KEY = "test"
START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 10

_started_before = threading.Lock()


class CloudError(Exception):
    """The laptop cloud cannot start."""


class Endpoint:
    """A laptop cloud, of this process or another, as clients and programs find it.

    `folder` is for what they write.
    """

    def __init__(self, endpoint_url: str = "", folder: Path = Path()) -> None:
        self.endpoint_url = endpoint_url
        self.folder = folder
        self._cleanup = contextlib.ExitStack()

    @property
    def port(self) -> int:
        return int(self.endpoint_url.rsplit(":", 1)[-1])

    def at_stop(self, callback: Callable[[], object]) -> None:
        """Have something done at the end, before all that was begun earlier is undone."""
        self._cleanup.callback(callback)

    def client(self, service: str, **arguments: Any) -> Any:
        """A boto3 client with the rights of the account's root."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            **arguments,
        )

    def environment(self) -> dict[str, str]:
        """The environment for programs that are to use this cloud and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, **self._aws_variables(), "TMPDIR": str(self.folder / "tmp")}

    def _aws_variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The user's own profiles stay out of it.
            "AWS_CONFIG_FILE": str(self.folder / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws-credentials"),
        }


class RunningCloud(Endpoint):
    """A laptop cloud that another process runs, as a context manager."""

    def __init__(self, port: int) -> None:
        super().__init__(f"http://{HOST}:{port}")

    def __enter__(self) -> Self:
        self.folder = self._cleanup.enter_context(_temporary_files())
        return self

    def __exit__(self, *_error: object) -> None:
        self._cleanup.close()


class LaptopCloud(Endpoint):
    """A cloud on this computer, from `start` to `stop` or as a context manager.

    `port` serves every AWS service, `warehouse_port` the first Redshift workgroup; 0 takes a free
    port. `wait_scale` shrinks the waits and retry intervals of state machines. `bridge` is one more
    address of this computer, where containers find AWS under the same port. `before_call` and
    `after_call` hold callables that see each AWS call of a state machine (see `SdkTasks`), and
    `before_resource` such as see each resource that CloudFormation is about to make, by type and
    logical id.
    """

    def __init__(
        self, port: int = 0, warehouse_port: int = 0, wait_scale: float = 1.0, bridge: str = ""
    ) -> None:
        super().__init__()
        self._wanted_port = port
        self._bridge = bridge
        self._warehouse_port = warehouse_port
        self._wait_scale = wait_scale
        self.before_resource: list[Callable[[str, str], None]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def before_call(self) -> list[Hook]:
        return self._tasks.before_call

    @property
    def after_call(self) -> list[Hook]:
        return self._tasks.after_call

    def start(self) -> None:
        """Start serving. Raises CloudError, and leaves nothing behind then."""
        if not _started_before.acquire(blocking=False):
            raise CloudError("This process has had its laptop cloud: one per process.")
        if "ministack.app" in sys.modules:
            raise CloudError(
                "MiniStack was imported before the laptop cloud has set what it reads on import."
            )
        with contextlib.ExitStack() as undo:
            listeners = [undo.enter_context(_listen(HOST, self._wanted_port))]
            self.endpoint_url = f"http://{HOST}:{listeners[0].getsockname()[1]}"
            if self._bridge:
                listeners.append(undo.enter_context(_listen(self._bridge, self.port)))
            self.folder = undo.enter_context(_temporary_files())
            undo.enter_context(_only_these_aws_variables(self._ministack_settings()))
            self._plug_in(undo)
            undo.enter_context(_serving(listeners))
            self._cleanup = undo.pop_all()
        # The SQL gate takes seconds to load. Better now, while `sam build` runs, than at the first
        # statement, which would hold up every other request.
        threading.Thread(target=translate, args=("select 1",), daemon=True).start()

    def stop(self) -> None:
        """End every process and thread of the cloud and remove its files. May be called again."""
        self._cleanup.close()

    def warehouse(self, reference: str) -> Warehouse:
        """The running warehouse of a workgroup's name or ARN, or of a cluster. Raises KeyError."""
        return self._redshift.warehouses[reference]

    def _ministack_settings(self) -> dict[str, str]:
        return {
            **self._aws_variables(),
            "AUTH": "true",
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "GATEWAY_PORT": str(self.port),
            "SFN_WAIT_SCALE": str(self._wait_scale),
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "S3_DATA_DIR": str(self.folder / "s3"),
            "STATE_DIR": str(self.folder / "state"),
            "LAMBDA_EXECUTOR": "local",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{self.folder}/no-docker",
            # Functions start with this process's variables.
            "PYTHONPATH": os.pathsep.join(
                filter(None, [FUNCTION_HOST, os.environ.get("PYTHONPATH")])
            ),
        }

    def _plug_in(self, undo: contextlib.ExitStack) -> None:
        # MiniStack reads its settings when it is imported, so not before they are set.
        from local import ministack_plugs, permissions, secret_rotation
        from local.data_api import DataApi
        from local.execution_role import ExecutionRoles
        from local.redshift_clusters import RedshiftApi
        from local.redshift_serverless import RedshiftServerlessApi
        from local.spectrum import ScanServer

        scans = ScanServer(self.endpoint_url)
        scans.start()
        undo.callback(scans.stop)
        self._redshift = Redshift(
            lambda namespace: self._start_warehouse(namespace, scans.url), _redshift_arn
        )
        undo.callback(self._redshift.stop)
        self._tasks = SdkTasks(self.endpoint_url, REGION)
        data_api = DataApi(self._redshift.warehouses)
        ministack_plugs.serve_data_api(data_api.handle, self._redshift.arn)
        ministack_plugs.provision_redshift(self._redshift)
        ministack_plugs.serve_redshift_serverless(RedshiftServerlessApi(self._redshift).handle)
        ministack_plugs.serve_redshift(RedshiftApi(self._redshift).handle)
        ministack_plugs.refuse_as_aws_does(self.before_resource)
        ministack_plugs.join_lists_in_conditions()
        ministack_plugs.cut_generated_names()
        ministack_plugs.validate_change_sets()
        ministack_plugs.provision_composite_alarms(self.endpoint_url, REGION)
        ministack_plugs.answer_secret_arns()
        ministack_plugs.generate_secrets_as_asked()
        ministack_plugs.answer_custom_resources_at_s3()
        secret_rotation.install()
        ministack_plugs.read_yaml_definitions()
        ministack_plugs.assume_roles_as_a_service()
        ministack_plugs.let_wildcards_match_newlines()
        ministack_plugs.tell_how_objects_are_stored()
        ministack_plugs.deny_to_root_too()
        ministack_plugs.call_services_as_the_machine(self._tasks)
        ministack_plugs.refuse_deletes_by_object()
        ministack_plugs.refuse_cold_copies()
        ministack_plugs.checksum_copies()
        ministack_plugs.encode_listed_versions()
        ministack_plugs.hide_missing_objects()
        ministack_plugs.start_machines_as_the_rule(RoleClients(self.endpoint_url, REGION))
        permissions.ask_for_all_that_a_call_needs()
        permissions.keep_keys_of_stacks()
        permissions.ask_services_for_keys()
        permissions.ask_for_the_poller()
        ExecutionRoles().install()
        self.access = permissions.AccessLog()
        self.access.install()
        ministack_plugs.batch_messages()
        executions = ministack_plugs.Executions()
        executions.install()
        brake = ministack_plugs.Brake(executions)
        brake.install()
        undo.callback(brake.stop)

    def _start_warehouse(self, namespace: Namespace, scan_endpoint: str) -> Warehouse:
        from local import spectrum

        # The given port is the first workgroup's; a second one would find it taken.
        port, self._warehouse_port = self._warehouse_port, 0
        warehouse = Warehouse(
            folder=self.folder / f"warehouse-{re.split('[:/]', namespace.arn)[-1]}",
            database=namespace.database,
            admin_user=str(namespace.properties["AdminUsername"]),
            admin_password=str(namespace.properties["AdminUserPassword"]),
            port=port,
            scan_endpoint=scan_endpoint,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(warehouse.stop)
            warehouse.start()
            spectrum.install(warehouse)
            undo.pop_all()
        warehouse.on_statement = lambda _statement: _refresh(warehouse)
        return warehouse


def _refresh(warehouse: Warehouse) -> None:
    from local import spectrum

    spectrum.refresh(warehouse)


def _redshift_arn(kind: str, identifier: str) -> str:
    if kind == "cluster":
        return f"arn:aws:redshift:{REGION}:{ACCOUNT}:cluster:{identifier}"
    return f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:{kind}/{identifier}"


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise CloudError(
                f"Port {port} of {host} is taken ({error}): choose another."
            ) from error
        yield listener


@contextlib.contextmanager
def _temporary_files() -> Iterator[Path]:
    """One folder for all temporary files of this process, MiniStack's among them."""
    before = tempfile.tempdir
    folder = Path(tempfile.mkdtemp(prefix="laptop-cloud-"))
    # PostgreSQL runs as another user when this process is root's.
    folder.chmod(0o711)
    (folder / "tmp").mkdir()
    tempfile.tempdir = str(folder / "tmp")
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _only_these_aws_variables(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in before:
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _serving(listeners: list[socket.socket]) -> Iterator[None]:
    server = _Server(listeners)
    server.start()
    try:
        yield
    finally:
        server.stop()


def _as_tls(scope: Any) -> Any:
    """Pass a request off as TLS, which bucket policies ask for. This computer is all it crosses."""
    if scope["type"] != "http":
        return scope
    return {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}


class _Server(threading.Thread):
    """MiniStack under Hypercorn, in a thread with an event loop of its own."""

    def __init__(self, listeners: list[socket.socket]) -> None:
        super().__init__(name="laptop-cloud", daemon=True)
        self._listeners = listeners
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        super().start()
        if not self._ready.wait(START_TIMEOUT_SECONDS) or self._failure:
            raise CloudError(f"MiniStack did not start: {self._failure or 'timed out'}")

    def stop(self) -> None:
        if self.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self.join(STOP_TIMEOUT_SECONDS)

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - `start` raises it
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config
        from ministack import app

        config = Config()
        config.bind = [f"fd://{os.dup(listener.fileno())}" for listener in self._listeners]
        config.keep_alive_timeout = 75
        config.graceful_timeout = 0.5
        config.shutdown_timeout = 2
        config.loglevel = "WARNING"
        config.errorlog = logging.getLogger("hypercorn.error")

        async def announcing(scope: Any, receive: Any, send: Any) -> None:
            async def send_and_tell(message: Any) -> None:
                await send(message)
                if message["type"] == "lifespan.startup.complete":
                    self._ready.set()

            await app.app(_as_tls(scope), receive, send_and_tell)

        await serve(announcing, config, shutdown_trigger=self._stopping.wait)
