"""The warehouse's public port: Redshift's wire protocol in front of the laptop's PostgreSQL.

A client's statements pass the gate of `local.dialect` on their way to the server, which speaks
the same protocol (version 3.0) otherwise. What differs:

- No encryption: SSLRequest and GSSENCRequest are answered with N, as clients that merely
  prefer encryption accept. `redshift_connector` insists by default (`ssl=True` raises
  "Server refuses SSL"): it needs `ssl=False`.
- Redshift's drivers send start-up parameters that PostgreSQL refuses: they are left out.
- A statement that the gate refuses never reaches the server. In its place goes a text that
  cannot be parsed, and the server's complaint about it is replaced by the gate's. So the
  answer comes in its turn, an open transaction fails as it must, and the session goes on
  after the client's next Sync: the server itself keeps all three.
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 18
# Start-up packets, told apart by what stands in the place of the protocol's version.
CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
STARTUP_LIMIT = 10_000  # bytes, as PostgreSQL's own
STARTUP_PARAMETERS = {
    b"user",
    b"database",
    b"application_name",
    b"client_encoding",
    b"options",
    b"replication",
}
# A session is one of the server's 100: each may have a statement in the gate at once, so that
# none waits for a thread that another, waiting for its lock, holds.
GATE_THREADS = 100
FEATURE_NOT_SUPPORTED = "0A000"
INTERNAL_ERROR = "XX000"

SESSION_CONTROL = re.compile(
    r"\s*(?:set|reset|show|begin|start\s+transaction|commit|end|rollback|abort"
    r"|deallocate|close|fetch)\b[^;]*;?\s*$",
    re.IGNORECASE,
)
CATALOG_QUERY = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
CATALOG_SCHEMA = re.compile(r"\b(?:pg_catalog|information_schema)\s*\.", re.IGNORECASE)
OTHER_RELATION = re.compile(
    r"\b(?:from|join)\s+(?!\(|lateral\b|only\b|pg_|information_schema\s*\.)", re.IGNORECASE
)
QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'")


class WireError(Exception):
    """The client's packet is not one of the protocol."""


class RefusedError(Exception):
    """The gate refuses a statement; `message` is the client's, in the gate's words."""

    def __init__(self, message: str, sqlstate: str = FEATURE_NOT_SUPPORTED) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate


class WireProxy:
    """Serves the wire protocol on 127.0.0.1 in a thread with its own event loop.

    `on_statement` is called with each gated statement before it is forwarded, in a thread that
    may wait; an exception it raises is the client's error. `redshift_error` words an error's
    message (SQLSTATE, message) as Redshift does.
    """

    def __init__(
        self,
        socket_path: Path,
        port: int,
        on_statement: Callable[[str], None],
        redshift_error: Callable[[str, str], str],
    ) -> None:
        self._socket_path = socket_path
        self._wanted_port = port
        self._on_statement = on_statement
        self._redshift_error = redshift_error
        self._gate = ThreadPoolExecutor(GATE_THREADS, thread_name_prefix="warehouse-gate")
        self._bound: Future[int] = Future()
        # A daemon: the interpreter joins other threads before it runs the exit handlers.
        self._thread = threading.Thread(target=self._run, name="warehouse-wire", daemon=True)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, once started."""
        return self._bound.result()

    def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        self._thread.start()
        self._bound.result()

    def stop(self) -> None:
        """Close the port and every session."""
        with suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._gate.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._bound.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._sessions: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._accept, HOST, self._wanted_port, limit=CHUNK_BYTES, backlog=GATE_THREADS
        )
        self._bound.set_result(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        # A client that goes away, or sends nonsense, ends its own session and no other.
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, WireError):
                await self._open_session(reader, writer)
        except asyncio.CancelledError:
            pass  # stop(); streams would report the cancellation as a fault of the handler
        finally:
            self._sessions.discard(task)
            writer.close()

    async def _open_session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        packet = await read_startup(reader, writer)
        # Not a stream: asyncio's streams drop what is left to read when a write fails, and a
        # server that ends a session says why before it closes.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.setblocking(False)
            await self._loop.sock_connect(server, str(self._socket_path))
            await self._loop.sock_sendall(server, frame_startup(packet))
            if startup_code(packet) == CANCEL_REQUEST:
                await self._loop.sock_recv(server, 1)  # it closes when it has acted on it
                return
            refusals = Refusals(self._redshift_error)
            await run_session(
                self._pump_requests(reader, server, refusals),
                pump_answers(server, writer, refusals),
            )

    async def _pump_requests(
        self, reader: asyncio.StreamReader, server: socket.socket, refusals: "Refusals"
    ) -> None:
        """Pass the client's messages on; return when the server takes no more.

        Raises asyncio.IncompleteReadError or ConnectionError when the client goes away.
        """
        while True:
            kind = await reader.readexactly(1)
            length = struct.unpack("!I", await reader.readexactly(4))[0]
            if length < 4:
                raise WireError(f"a message of {length} bytes")
            body = await reader.readexactly(length - 4)
            if kind == b"Q":
                body = await self._gate_text(body.rstrip(b"\0"), refusals) + b"\0"
            elif kind == b"P":
                name, text, types = body.split(b"\0", 2)
                body = b"\0".join((name, await self._gate_text(text, refusals), types))
            try:
                await self._loop.sock_sendall(server, frame(kind, body))
            except ConnectionError:
                return

    async def _gate_text(self, text: bytes, refusals: "Refusals") -> bytes:
        """Return the text to forward: the server's dialect, or a refusal's mark."""
        if passes_ungated(text.decode(errors="replace")):
            return text
        try:
            return await self._loop.run_in_executor(self._gate, self._translate, text)
        except RefusedError as refusal:
            return refusals.mark(refusal)

    def _translate(self, text: bytes) -> bytes:
        from local.dialect import DialectError, split, translate

        try:
            statements = [translate(statement) for statement in split(text.decode())]
            self._on_statement(text.decode())
        except DialectError as error:
            raise RefusedError(str(error)) from error
        except Exception as error:  # a fault here must not end the session without a word
            raise RefusedError(f"{type(error).__name__}: {error}", INTERNAL_ERROR) from error
        # On a line of its own: a statement may end in a comment.
        return "\n;\n".join(statements).encode()


class Refusals:
    """Rewrites the server's error messages: refused statements, and Redshift's wording.

    One for each session. `feed` takes the server's bytes as they come and gives back what the
    client shall see; it holds back only incomplete headers and incomplete error messages.
    """

    def __init__(self, redshift_error: Callable[[str, str], str]) -> None:
        self._redshift_error = redshift_error
        self._marked: dict[bytes, RefusedError] = {}
        self._count = 0
        self._held = b""
        self._passing = 0  # bytes of the present message that are still to come

    def mark(self, refusal: RefusedError) -> bytes:
        """Return a text that PostgreSQL cannot parse, and remember what it stands for."""
        self._count += 1
        mark = b"refused_statement_%d" % self._count
        self._marked[mark] = refusal
        return mark

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes for the client; messages are `kind, length, body`."""
        data = self._held + chunk
        out: list[bytes] = []
        start, position = 0, self._passing
        while len(data) - position >= 5:
            end = position + 1 + int.from_bytes(data[position + 1 : position + 5], "big")
            if data[position] == ord("E"):
                if end > len(data):
                    break
                out += [data[start:position], self._reword(data[position + 5 : end])]
                start = end
            position = end
        self._passing = max(position - len(data), 0)
        self._held = data[position:]
        out.append(data[start : len(data) - len(self._held)])
        return b"".join(out)

    def _reword(self, body: bytes) -> bytes:
        fields = {field[:1]: field[1:] for field in body.split(b"\0") if field}
        refusal = self._marked.pop(quoted_word(fields[b"M"]), None)
        if refusal is not None:
            return error_message(refusal.sqlstate, refusal.message)
        sqlstate, message = fields[b"C"].decode(), fields[b"M"].decode(errors="replace")
        reworded = self._redshift_error(sqlstate, message)
        if reworded != message:
            return error_message(sqlstate, reworded)
        return frame(b"E", body)


async def run_session(
    requests: Coroutine[Any, Any, None], answers: Coroutine[Any, Any, None]
) -> None:
    """Run both directions until the client goes away or the server has said its last word."""
    tasks = [asyncio.create_task(requests), asyncio.create_task(answers)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
            await tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pump_answers(
    server: socket.socket, client: asyncio.StreamWriter, refusals: Refusals
) -> None:
    """Pass the server's answers on, no faster than the client reads them."""
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(server, CHUNK_BYTES):
        client.write(refusals.feed(chunk))
        await client.drain()


async def read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Decline encryption and return the start-up or cancel packet, less its length."""
    while True:
        length = struct.unpack("!I", await reader.readexactly(4))[0]
        if not 8 <= length <= STARTUP_LIMIT:
            raise WireError(f"a start-up packet of {length} bytes")
        packet = await reader.readexactly(length - 4)
        if startup_code(packet) not in (SSL_REQUEST, GSS_REQUEST):
            return packet
        writer.write(b"N")


def startup_code(packet: bytes) -> int:
    """Return the protocol version, or the code of a request that stands in its place."""
    return int.from_bytes(packet[:4], "big")


def frame_startup(packet: bytes) -> bytes:
    """Return the packet for the server: with its length, without Redshift's own parameters."""
    if startup_code(packet) != CANCEL_REQUEST:
        words = packet[4:].split(b"\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        kept = [name + b"\0" + value + b"\0" for name, value in pairs if name in STARTUP_PARAMETERS]
        packet = packet[:4] + b"".join(kept) + b"\0"
    return struct.pack("!I", len(packet) + 4) + packet


def frame(kind: bytes, body: bytes) -> bytes:
    """Return a protocol message."""
    return kind + struct.pack("!I", len(body) + 4) + body


def error_message(sqlstate: str, message: str) -> bytes:
    """Return an ErrorResponse."""
    fields = (("S", "ERROR"), ("V", "ERROR"), ("C", sqlstate), ("M", message))
    body = b"".join((name + value).encode() + b"\0" for name, value in fields)
    return frame(b"E", body + b"\0")


def quoted_word(message: bytes) -> bytes:
    """Return what the message quotes: `syntax error at or near "x"` gives x."""
    return message.partition(b'"')[2].partition(b'"')[0]


def passes_ungated(text: str) -> bool:
    """Tell whether clients send this on their own: session control or a catalogue query.

    A catalogue query reads nothing but the system's schemas (`\\d` in psql, the metadata calls
    of redshift_connector).
    """
    if not text.strip() or SESSION_CONTROL.match(text):
        return True
    bare = QUOTED.sub("''", text)
    return bool(
        CATALOG_QUERY.match(bare)
        and CATALOG_SCHEMA.search(bare)
        and not OTHER_RELATION.search(bare)
    )
