"""Names of the dialplan variables an application may set, and their safe way into `MSet` (docs/contracts.md, 4)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

_Names = TypeVar("_Names", bound=StrEnum)


def _plain_members(names: type[_Names]) -> type[_Names]:
    """Make the members of an enumeration plain attributes of their class, as Python 3.12 does by itself.

    Python 3.11 runs a function of `enum` for each `Variable.X`, and every call reads dozens of them.
    """
    for name, member in names.__members__.items():
        type.__setattr__(names, name, member)
    return names


@_plain_members
class Variable(StrEnum):
    """A channel variable; two underscores make Asterisk hand it down to every leg."""

    DECISION = "EP_DECISION"
    ACCOUNTS = "__EP_ACCOUNTS"
    STAGE = "__EP_STAGE"
    RING_TIMEOUT_S = "__EP_RING_TIMEOUT_S"
    TALK_LIMIT_MS = "EP_TALK_LIMIT_MS"
    PROMPT = "EP_PROMPT"
    LANGUAGE = "__EP_LANGUAGE"
    CAUSE = "EP_CAUSE"
    PLAN_SOURCE = "__EP_PLAN_SOURCE"
    CALLER_NAME = "CALLERID(name)"
    DOOR_DTMF = "EP_DOOR_DTMF"
    OPENED_AT_MS = "EP_OPENED_AT_MS"
    EMERGENCY = "__EP_EMERGENCY"
    RECORDED = "EP_RECORDED"
    CALLED_BACK = "EP_CALLED_BACK"
    ADDRESS = "__EP_ADDRESS"
    AUTO_ANSWER = "__EP_AUTO_ANSWER"
    LEGS = "EP_LEGS"
    PHONES = "__EP_PHONES"
    TRUNKS = "__EP_TRUNKS"
    CONFIRM = "__EP_CONFIRM"
    PASSED_TO = "EP_PASSED_TO"
    MESSAGE_LIMIT_S = "EP_MESSAGE_LIMIT_S"
    THEN = "EP_THEN"


@_plain_members
class Decision(StrEnum):
    """What the dialplan does next. `error` is never sent: the dialplan presets it."""

    DIAL = "dial"
    PHONE = "phone"
    LOOK = "look"
    DESK = "desk"
    MESSAGE = "message"
    RECORD = "record"
    PASS = "pass"  # noqa: S105 - no password
    PROMPT = "prompt"
    EMERGENCY = "emergency"
    HANGUP = "hangup"
    DTMF = "dtmf"
    OPENED = "opened"
    REFUSED = "refused"
    FAILED = "failed"

    @classmethod
    def rings(cls) -> frozenset[Decision]:
        """Decisions after which somebody rings."""
        return _RINGS


_RINGS = frozenset({Decision.DIAL, Decision.LOOK, Decision.DESK, Decision.PHONE})

# MSet strips the quotes around a value but keeps backslashes and cannot express a quote inside one; a control
# character would end the AGI line.
_HARMLESS = str.maketrans({'"': "'", "\\": "/", **dict.fromkeys((*range(32), 127), " ")})
_BRACKETS = str.maketrans("", "", "()[]")
# Almost no value has any of these.
_NEEDS_CARE = re.compile(r'[\x00-\x1f\x7f"\\()\[\]]')


def _balanced(text: str) -> bool:
    depth = {"(": 0, "[": 0}
    for char in text:
        if char in "([":
            depth[char] += 1
        elif char in ")]":
            opening = "(" if char == ")" else "["
            depth[opening] -= 1
            if depth[opening] < 0:
                return False
    return not any(depth.values())


def _harmless(value: str) -> str:
    """Make any text one that can stand between the quotes of an `MSet` value.

    Commas survive inside the quotes. Quotes become apostrophes, backslashes slashes, control characters spaces;
    brackets that do not pair are dropped, because Asterisk counts brackets even inside quotes (main/app.c,
    `__ast_app_separate_args`) and would swallow the variables that follow.
    """
    text = value.translate(_HARMLESS)
    return text if _balanced(text) else text.translate(_BRACKETS)


def mset_arguments(values: Mapping[Variable, str], limit_bytes: int) -> list[str]:
    """Arguments for as few `MSet` calls as keep each under `limit_bytes`; the decision comes last, when all is set.

    Raises:
        ValueError: one value alone is over the limit.
    """
    if _NEEDS_CARE.search("".join(values.values())) is not None:
        values = {name: _harmless(value) for name, value in values.items()}
    decision = Variable.DECISION
    ordered = [name + '="' + value + '"' for name, value in values.items() if name is not decision]
    if decision in values:
        ordered.append(decision + '="' + values[decision] + '"')
    whole = ",".join(ordered)
    if len(whole.encode()) <= limit_bytes:
        return [whole] if whole else []
    return _in_pieces(ordered, limit_bytes)


def _in_pieces(assignments: list[str], limit_bytes: int) -> list[str]:
    arguments: list[str] = []
    parts: list[str] = []
    size = 0
    for part in assignments:
        part_size = len(part.encode()) + 1
        if part_size > limit_bytes:
            name = part.partition("=")[0]
            raise ValueError(f"{name} is {part_size} bytes, at most {limit_bytes} fit one AGI command")
        if size + part_size > limit_bytes:
            arguments.append(",".join(parts))
            parts, size = [], 0
        parts.append(part)
        size += part_size
    if parts:
        arguments.append(",".join(parts))
    return arguments
