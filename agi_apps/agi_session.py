"""pyst2's AGI protocol engine, hardened for a server: the one importer of pyst2 in this tree.

As released (0.5.1) it installs a signal handler, echoes to stderr, quotes nothing, and knows neither FastAGI's
`HANGUP` line nor an end of file. Everything that was wrong is overridden here; commands of the library remain usable.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from asterisk.agi import AGI, AGIAppError, AGIInvalidCommand, AGIResultHangup, AGIUnknownError, AGIUsageError, re_kv

from agi_apps.variables import Variable, mset_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_LIMIT_BYTES = 16_384
ENVIRONMENT_LIMIT_LINES = 128
LINE_LIMIT_BYTES = 16_384
# res_agi.c reads commands into AGI_BUF_LEN = 2048 bytes; a longer line would be taken for two commands. Quoting adds
# two bytes a variable to the MSet limit, the frame `EXEC MSet ""` a dozen.
COMMAND_LIMIT_BYTES = 2_000
_MSET_LIMIT_BYTES = 1_940
_RECV_BYTES = 4_096
_OK, _INVALID, _DEAD, _USAGE = "200", "510", "511", "520"
# What nearly every command is answered with, and what the library makes of it.
_DONE = "200 result=0"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What applications ask of the environment, each in a line of its own.
_ASKED = re.compile(r"\n(agi_arg_[0-9]+|agi_network_script): (.*)")


class ByteStream(Protocol):
    """What a session needs of a socket."""

    def recv(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty at the end of the stream."""

    def sendall(self, data: bytes, /) -> None:
        """All of `data`, or an OSError."""


class CallHungUp(Exception):  # noqa: N818 - hanging up is what callers do, not an error
    """The caller hung up, or Asterisk went away: nobody waits for our answer."""


class ProtocolError(Exception):
    """The peer does not speak AGI."""


class _Silence:
    """Where pyst2's chatter goes."""

    def write(self, text: str) -> None:
        """Drop it."""


_SILENCE = _Silence()


class AgiSession(AGI):  # type: ignore[misc]  # pyst2 publishes no types
    """One FastAGI connection: the environment is read on construction, then commands and their answers.

    `env` holds what is asked of the environment, the application's name and its arguments, as text, undecodable bytes
    replaced. The name keeps its first value, an argument its last: a caller's name with line breaks in it can then
    forge neither.

    Raises:
        CallHungUp: the peer closed before the environment was complete.
        ProtocolError: the environment is over its bounds.
    """

    def __init__(self, stream: ByteStream, received: bytes = b"") -> None:
        # The constructor of the library is not called: it installs a SIGHUP handler and reads process-wide streams.
        self._stream = stream
        self._received = bytearray(received)
        self._got_sighup = False
        self.stderr = _SILENCE
        self.env: dict[str, str] = {}
        self._get_agi_env()

    @property
    def application(self) -> str:
        """Path of the agi:// URL: the name of the application."""
        return self.env.get("agi_network_script", "")

    @property
    def is_over(self) -> bool:
        """Whether Asterisk has said, with the environment or before an answer, that the channel is gone."""
        return self._got_sighup or self._received.startswith(b"HANGUP")

    def arguments(self) -> list[str]:
        """Arguments of the AGI application, in order.

        What is in them is URI-encoded, so a comma is always the dialplan's. After an opening bracket without a closing
        one, as a Call-ID may have it and `URIENCODE()` leaves it, Asterisk takes all that follows for one argument.
        """
        values: list[str] = []
        while (value := self.env.get(f"agi_arg_{len(values) + 1}")) is not None:
            values.append(value)
        return ",".join(values).split(",") if values else []

    def set_variables(self, values: Mapping[Variable, str]) -> None:
        """Set channel variables, normally with one `EXEC MSet`.

        Raises:
            CallHungUp: the channel or the connection is gone.
            ProtocolError: Asterisk refused the command or answered nonsense.
        """
        for argument in mset_arguments(values, _MSET_LIMIT_BYTES):
            self.run("EXEC", "MSet", self._quote(argument))

    def set_variables_at_last(self, values: Mapping[Variable, str]) -> None:
        """Set channel variables by the last command of this session: its answer is not waited for.

        Raises:
            CallHungUp: the channel or the connection is gone.
            ProtocolError: Asterisk refused a command before the last, or answered nonsense.
        """
        *before, last = mset_arguments(values, _MSET_LIMIT_BYTES)
        for argument in before:
            self.run("EXEC", "MSet", self._quote(argument))
        try:
            self.send_command("EXEC", "MSet", self._quote(last))
        except OSError as error:
            raise CallHungUp(str(error)) from error

    def run(self, command: str, *args: str) -> None:
        """`execute` of the library with its dozen exceptions mapped to our two."""
        try:
            self.execute(command, *args)
        except (AGIAppError, AGIResultHangup, OSError) as error:
            raise CallHungUp(str(error)) from error
        except (AGIInvalidCommand, AGIUsageError, AGIUnknownError) as error:
            raise ProtocolError(f"{command}: {error}") from error

    def _fill(self) -> None:
        try:
            chunk = self._stream.recv(_RECV_BYTES)
        except OSError as error:
            raise CallHungUp(str(error)) from error
        if not chunk:
            raise CallHungUp("connection closed by the peer")
        self._received += chunk

    def _get_agi_env(self) -> None:
        buffer = self._received
        searched = 0
        while (end := buffer.find(b"\n\n", searched)) < 0:
            if len(buffer) > ENVIRONMENT_LIMIT_BYTES:
                raise ProtocolError(f"environment over {ENVIRONMENT_LIMIT_BYTES} bytes")
            searched = max(0, len(buffer) - 1)
            self._fill()
        text = "\n" + buffer[:end].decode("utf-8", "replace")
        del buffer[: end + 2]
        if text.count("\n") > ENVIRONMENT_LIMIT_LINES:
            raise ProtocolError(f"environment over {ENVIRONMENT_LIMIT_LINES} lines")
        env = self.env
        for key, value in _ASKED.findall(text):
            if key not in env or key != "agi_network_script":
                env[key] = value

    def _readline(self) -> str:
        buffer = self._received
        searched = 0
        while (end := buffer.find(b"\n", searched)) < 0:
            if len(buffer) > LINE_LIMIT_BYTES:
                raise ProtocolError(f"line over {LINE_LIMIT_BYTES} bytes")
            searched = len(buffer)
            self._fill()
        line = buffer[:end].decode("utf-8", "replace")
        del buffer[: end + 1]
        return line.rstrip("\r")

    def _answer(self) -> str:
        """Return the line that answers a command; it may come after word that the channel is gone."""
        while (line := self._readline()) == "HANGUP":
            self._got_sighup = True
        return line

    def _quote(self, string: object) -> str:
        """One quoted argument: quotes and backslashes escaped, line breaks and control characters made spaces."""
        text = _CONTROL.sub(" ", str(string)).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'

    def send_command(self, command: str, *args: object) -> None:
        """Send one command line.

        Raises:
            ProtocolError: the line is longer than Asterisk reads, or holds a line break.
        """
        line = " ".join((command, *map(str, args))).strip()
        data = line.encode("utf-8", "replace")
        if len(data) > COMMAND_LIMIT_BYTES:
            raise ProtocolError(f"{command}: command of {len(data)} bytes, at most {COMMAND_LIMIT_BYTES} are allowed")
        if b"\n" in data or b"\r" in data:
            raise ProtocolError(f"{command}: line break in a command")
        self._stream.sendall(data + b"\n")

    def get_result(self, stdin: object = None) -> dict[str, tuple[str, str]]:
        """Answer to the last command, as the library shapes it: `{"result": (value, data)}`."""
        del stdin  # the library's signature
        line = self._answer()
        if line == _DONE:
            return {"result": ("0", "")}
        code, _, response = line.partition(" ")
        if code == _OK:
            result: dict[str, tuple[str, str]] = {"result": ("", "")}
            for key, value, data in re_kv.findall(response):
                result[key] = (value, data)
            if result["result"][1] == "hangup":
                raise AGIResultHangup("hung up while the command ran")
            if result["result"][0] == "-1":
                raise AGIAppError("result -1: error of the application, or hang-up")
            return result
        if code == _DEAD:
            raise AGIResultHangup(line)
        if code == _INVALID:
            raise AGIInvalidCommand(response)
        if code.startswith(_USAGE):
            while not (line := self._readline()).startswith(f"{_USAGE} "):
                response = f"{response} {line}"
            raise AGIUsageError(response)
        raise AGIUnknownError(f"answer {line[:80]!r}")
