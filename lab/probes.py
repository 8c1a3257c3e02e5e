"""Asks each server whether it is healthy, the way its clients would: None, or what is wrong in a few words."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROBE_TIMEOUT_S = 1.0
QUESTION_TIMEOUT_S = 5.0
"""Of a question that is no probe: its answer is wanted, however late."""
# The kernel hands each connection to one of FastAGI's workers, so all are met after some.
_EVERY_WORKER = 12


def probe_redis(host: str, port: int) -> str | None:
    """Redis answers PING; while it loads its data it says LOADING."""
    try:
        answer = redis_command(host, port, "PING", timeout_s=PROBE_TIMEOUT_S)
    except (OSError, ValueError) as error:
        return f"no answer to PING: {error}"
    return None if answer == "PONG" else f"PING answered {answer!r}"


def redis_command(host: str, port: int, *words: str, timeout_s: float = QUESTION_TIMEOUT_S) -> str | int | None:
    """One Redis command with a simple answer (RESP 2: status, integer, bulk string), on a connection of its own.

    Args:
        host: of Redis.
        port: of Redis.
        words: the command.
        timeout_s: longest wait for the connection, and for each piece of the answer.

    Raises:
        OSError: no connection, or no answer in time.
        ValueError: Redis reports an error, or answers with an array.
    """
    encoded = [word.encode() for word in words]
    request = b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
    with socket.create_connection((host, port), timeout_s) as connection, connection.makefile("rb") as reader:
        connection.sendall(request)
        line = reader.readline().rstrip(b"\r\n")
        kind, text = line[:1], line[1:].decode()
        if kind == b"+":
            return text
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else reader.read(int(text)).decode()
        raise ValueError(text or "connection closed")


def probe_sip(address: str, port: int, source: str, domain: str, *, any_status: bool = False) -> str | None:
    """OPTIONS over UDP (RFC 3261 section 11) is answered 200, or with `any_status` answered at all.

    Args:
        address: of the server.
        port: of the server.
        source: our own address, for a server that knows its peers by theirs.
        domain: for the From header.
        any_status: a proxy may well refuse us; that it answers shows that it works.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((source, 0))
            sock.connect((address, port))
            sock.settimeout(PROBE_TIMEOUT_S)
            here = f"{source}:{sock.getsockname()[1]}"
            call_id = secrets.token_hex(8)
            sock.send(
                (
                    f"OPTIONS sip:{address}:{port} SIP/2.0\r\n"
                    f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{secrets.token_hex(8)}\r\n"
                    f"From: <sip:lab@{domain}>;tag={secrets.token_hex(4)}\r\n"
                    f"To: <sip:{address}:{port}>\r\n"
                    f"Call-ID: {call_id}@{source}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\n"
                    f"Contact: <sip:lab@{here}>\r\nContent-Length: 0\r\n\r\n"
                ).encode(),
            )
            status = sock.recv(65536).split(b"\r\n", 1)[0].decode(errors="replace")
        except OSError as error:
            return f"no answer to OPTIONS: {error}"
    if any_status and status.startswith("SIP/2.0 "):
        return None
    return None if status.startswith("SIP/2.0 200 ") else f"OPTIONS answered {status}"


def probe_http(host: str, port: int, path: str) -> str | None:
    """GET is answered 200."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(200).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer to GET {path}: {error}"
    finally:
        connection.close()
    return None if response.status == http.HTTPStatus.OK else f"GET {path} answered {response.status} {body}"


def shortcoming_of_fastagi(host: str, port: int) -> str | None:
    """What a worker of FastAGI does without, in its own words (docs/operations.md, Health)."""
    for _ in range(_EVERY_WORKER):
        connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            report = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"its health is not known: {error}"
        finally:
            connection.close()
        if report["status"] != "ok":
            return f"worker {report['pid']}: {report['store']}"
    return None


def probe_heartbeat(host: str, port: int, key: str, longest_age_s: float) -> str | None:
    """The Redis key holds a moment (epoch ms) that is not longer ago than `longest_age_s`."""
    try:
        value = redis_command(host, port, "GET", key, timeout_s=PROBE_TIMEOUT_S)
        if value is None:
            return f"no heartbeat {key} in Redis yet"
        age_s = time.time() - int(value) / 1000
    except (OSError, ValueError) as error:
        return f"heartbeat {key} not readable: {error}"
    return None if age_s <= longest_age_s else f"heartbeat {key} is {age_s:.0f} s old"


def probe_touched(file: Path, longest_age_s: float) -> str | None:
    """The file was touched not longer than `longest_age_s` ago."""
    try:
        age_s = time.time() - file.stat().st_mtime
    except OSError as error:
        return f"heartbeat {file} not readable: {error}"
    return None if age_s <= longest_age_s else f"heartbeat {file} is {age_s:.0f} s old"


def probe_stream_reader(host: str, port: int, stream: str, group: str, longest_idle_s: float) -> str | None:
    """A consumer of the group has asked for entries not longer ago than `longest_idle_s` (XINFO CONSUMERS, `idle`)."""
    script = """
        local least = -1
        for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
            for i = 1, #consumer, 2 do
                if consumer[i] == 'idle' and (least < 0 or consumer[i + 1] < least) then least = consumer[i + 1] end
            end
        end
        return least
    """
    try:
        idle_ms = redis_command(host, port, "EVAL", script, "1", stream, group, timeout_s=PROBE_TIMEOUT_S)
    except (OSError, ValueError) as error:
        return f"readers of {stream} not known: {error}"
    if not isinstance(idle_ms, int) or idle_ms < 0:
        return f"group {group} of {stream} has no reader yet"
    return None if idle_ms <= longest_idle_s * 1000 else f"{stream} was last read {idle_ms / 1000:.0f} s ago"


def probe_kamailio_rpc(rpc_socket: Path) -> str | None:
    """`core.uptime` over the JSON-RPC socket answers (jsonrpcs, unix datagram)."""
    try:
        answer = kamailio_rpc(rpc_socket, "core.uptime", timeout_s=PROBE_TIMEOUT_S)
    except (OSError, ValueError) as error:
        return f"no answer to core.uptime: {error}"
    return None if "result" in answer else f"core.uptime answered {answer}"


def kamailio_rpc(
    rpc_socket: Path, method: str, *parameters: str | float, timeout_s: float = QUESTION_TIMEOUT_S
) -> dict[str, object]:
    """One JSON-RPC call to Kamailio.

    Our end has an address of the abstract namespace (unix(7)): Kamailio lives in another root directory, so a path of
    ours would mean nothing to it. The server's path is reached through a descriptor, as it may exceed 108 bytes.

    Raises:
        OSError: no such socket, or no answer in time.
        ValueError: the answer is no JSON.
    """
    directory = os.open(rpc_socket.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout_s)
            sock.bind("\0entryphone-" + secrets.token_hex(8))
            sock.connect(f"/proc/self/fd/{directory}/{rpc_socket.name}")
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
            sock.send(json.dumps(request).encode())
            answer = json.loads(sock.recv(1 << 20))
    finally:
        os.close(directory)
    if not isinstance(answer, dict):
        raise ValueError(f"{method} answered {answer!r}")  # noqa: TRY004 - bad content, not a bad type of ours
    return answer


def probe_postgres(host: str, port: int) -> str | None:
    """PostgreSQL answers an authentication request or an error other than "starting up" (protocol 3.0)."""
    body = struct.pack("!i", 196608) + b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            answer = connection.recv(4096)
    except OSError as error:
        return f"no answer to a connection: {error}"
    return None if answer[:1] == b"R" else f"connection refused: {answer[:200]!r}"
