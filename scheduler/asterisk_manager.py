"""Asterisk's manager interface (AMI), as much as probes need: originate, end, say sorry first, tell a restart.

Answers are matched by ActionID; no events are asked for. Threads take turns.
"""

from __future__ import annotations

import itertools
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S: Final = 3.0


class AsteriskAwayError(Exception):
    """The node does not answer, or refuses; the sentence says what."""


class AsteriskManager:
    """One connection to one node, made when it is first needed and again after it broke."""

    def __init__(self, host: str, port: int, user: str, secret: str) -> None:
        self._address = (host, port)
        self._login = (user, secret)
        self._socket: socket.socket | None = None
        self._input = b""
        self._ids = itertools.count(1)
        self._speaking = threading.Lock()

    def originate(
        self, channel_id: str, channel: str, extension: str, timeout_s: int, variables: Mapping[str, str]
    ) -> None:
        """Begin a call that runs `extension` (`context,extension`) when answered; return when Asterisk has taken it."""
        context, exten = extension.split(",")
        fields = [
            ("Channel", channel), ("Context", context), ("Exten", exten), ("Priority", "1"),
            ("Async", "true"), ("Timeout", str(timeout_s * 1000)), ("ChannelId", channel_id),
            ("CallerID", '"Entryphone" <probe>'),
            *(("Variable", f"{name}={value}") for name, value in variables.items()),
        ]  # fmt: skip
        self._action("Originate", fields)

    def redirect(self, channel_id: str, extension: str) -> None:
        """Have a call go on at another extension."""
        context, exten = extension.split(",")
        self._action("Redirect", [("Channel", channel_id), ("Context", context), ("Exten", exten), ("Priority", "1")])

    def variable(self, channel_id: str, name: str) -> str:
        """Return a variable of a call, empty when it has none."""
        return self._action("Getvar", [("Channel", channel_id), ("Variable", name)]).get("Value", "")

    def hang_up(self, channel_id: str) -> bool:
        """End a call; say whether there was one: one that is over already is no error."""
        try:
            self._action("Hangup", [("Channel", channel_id), ("Cause", "16")])
        except AsteriskAwayError as error:
            if "No such channel" not in str(error):
                raise
            return False
        return True

    def started(self) -> str:
        """Return when the node was started, in its own words: with another answer, no earlier call is left there."""
        answer = self._action("CoreStatus", [])
        return f"{answer.get('CoreStartupDate', '')} {answer.get('CoreStartupTime', '')}"

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _action(self, name: str, fields: list[tuple[str, str]]) -> dict[str, str]:
        try:
            with self._speaking:
                try:
                    if self._socket is None:
                        self._connect()
                    answer = self._ask(name, fields)
                except OSError:
                    self.close()
                    raise
        except OSError as error:
            raise AsteriskAwayError(f"Asterisk at {self._address[0]}: {name}: {error}") from error
        if answer.get("Response") != "Success":
            raise AsteriskAwayError(
                f"Asterisk at {self._address[0]}: {name}: {answer.get('Message', 'no reason given')}"
            )
        return answer

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._address, TIMEOUT_S)
        self._input = b""
        self._line()  # the greeting
        user, secret = self._login
        answer = self._ask("Login", [("Username", user), ("Secret", secret), ("Events", "off")])
        if answer.get("Response") != "Success":
            self.close()
            raise AsteriskAwayError(f"Asterisk at {self._address[0]} refuses the login: check user and secret")

    def _ask(self, name: str, fields: list[tuple[str, str]]) -> dict[str, str]:
        assert self._socket is not None  # noqa: S101 - the caller has connected
        action_id = f"probe-{next(self._ids)}"
        lines = [("Action", name), ("ActionID", action_id), *fields]
        # No value may end its line: that would be another header, or another action.
        text = "".join(f"{key}: {value.replace(chr(13), ' ').replace(chr(10), ' ')}\r\n" for key, value in lines)
        self._socket.sendall(text.encode() + b"\r\n")
        while True:
            answer: dict[str, str] = {}
            while line := self._line():
                key, _, value = line.partition(":")
                answer[key.strip()] = value.strip()
            if answer.get("ActionID") == action_id and "Response" in answer:
                return answer

    def _line(self) -> str:
        assert self._socket is not None  # noqa: S101 - the caller has connected
        while b"\r\n" not in self._input:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("closed the connection")
            self._input += data
        line, _, self._input = self._input.partition(b"\r\n")
        return line.decode("utf-8", "replace")
