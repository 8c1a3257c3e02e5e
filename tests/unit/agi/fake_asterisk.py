"""A strict Asterisk for tests: speaks AGI as res_agi does, keeps the variables, refuses what Asterisk would misread."""

from __future__ import annotations

import re
import shlex
import socket
from dataclasses import dataclass, field

LINE_LIMIT_BYTES = 2_048  # AGI_BUF_LEN of res_agi.c


class BrokenCommand(AssertionError):  # noqa: N818 - states the fact
    """A command that a real Asterisk would not understand as meant."""


def split_mset(argument: str) -> dict[str, str]:  # noqa: C901 - one scanner, as in Asterisk
    """Variables of an MSet argument, split as main/app.c does: brackets count even inside quotes."""
    pairs, current, quoted, round_depth, square_depth = [], "", False, 0, 0
    for char in argument:
        if char == "\\":
            raise BrokenCommand(f"backslash in MSet: {argument}")
        if char == "(":
            round_depth += 1
        elif char == ")" and round_depth:
            round_depth -= 1
        elif char == "[":
            square_depth += 1
        elif char == "]" and square_depth:
            square_depth -= 1
        elif char == '"':
            quoted = not quoted
        elif char == "," and not (quoted or round_depth or square_depth):
            pairs.append(current)
            current = ""
            continue
        current += char
    if quoted:
        raise BrokenCommand(f"open quote in MSet: {argument}")
    variables = {}
    for pair in (*pairs, current):
        name, found, value = pair.partition("=")
        if not found or not re.fullmatch(r"_{0,2}[A-Z][A-Z_]*|CALLERID\(name\)", name):
            raise BrokenCommand(f"not a variable in MSet: {pair}")
        variables[name.lstrip("_")] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return variables


def split_command(line: str) -> list[str]:
    """Words of an AGI command line; quotes and backslashes as res_agi's parse_args reads them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.quotes, lexer.commenters = '"', ""
    try:
        return list(lexer)
    except ValueError as error:
        raise BrokenCommand(f"{error}: {line}") from error


@dataclass
class FakeAsterisk:
    """One AGI call of the dialplan to a server at `address`."""

    address: tuple[str, int]
    timeout_s: float = 60.0
    variables: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    answer: bytes = b"200 result=0\n"

    @staticmethod
    def environment(application: str, *arguments: str, caller_name: str = "panel") -> bytes:
        """The environment as Asterisk 22 sends it."""
        lines = [
            "agi_network: yes", f"agi_network_script: {application}", f"agi_request: agi://127.0.0.1/{application}",
            "agi_channel: PJSIP/kamailio-00000000", "agi_callerid: p10001", f"agi_calleridname: {caller_name}",
            *(f"agi_arg_{number}: {value}" for number, value in enumerate(arguments, 1)),
        ]  # fmt: skip
        return ("\n".join(lines) + "\n\n").encode()

    def agi(self, application: str, *arguments: str, caller_name: str = "panel") -> dict[str, str]:
        """Run one AGI application to its end; the variables it set."""
        with socket.create_connection(self.address, self.timeout_s) as link:
            link.sendall(self.environment(application, *arguments, caller_name=caller_name))
            self.serve(link)
        return self.variables

    def serve(self, link: socket.socket) -> None:
        """Answer commands until the server closes."""
        with link.makefile("rb") as lines:
            for raw in lines:
                self._execute(raw)
                link.sendall(self.answer)

    def _execute(self, raw: bytes) -> None:
        if len(raw) > LINE_LIMIT_BYTES or not raw.endswith(b"\n"):
            raise BrokenCommand(f"line of {len(raw)} bytes")
        line = raw.decode().rstrip("\n")
        self.commands.append(line)
        match split_command(line):
            case ["EXEC", "MSet", argument]:
                self.variables |= split_mset(argument)
            case _:
                raise BrokenCommand(line)
