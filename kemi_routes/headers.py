"""The X-Entryphone headers: names, what they hold, and how they are kept inside (docs/contracts.md, section 3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from KSR import Ksr

PREFIX = "X-Entryphone-"
KIND = "X-Entryphone-Kind"
STAGE = "X-Entryphone-Stage"
ANSWERED_BY = "X-Entryphone-Answered-By"
TARGET = "X-Entryphone-Target"
TRUNK = "X-Entryphone-Trunk"
EMERGENCY = "X-Entryphone-Emergency"
CALL_BACK = "X-Entryphone-Call-Back"
WAITING = "X-Entryphone-Waiting"
MOVES = "X-Entryphone-Moves"
KEYS = "X-Entryphone-Keys"
WORDS_BY = "|"
# User of the request URI of a stage.
STAGE_USER = "stage"

MAX_ACCOUNTS = 30
_STAGE_WORDS = 3
_STAGE_WORDS_AND_SOURCE = 4
_TARGET_WORDS = 5
IN_HEADER, IN_USER = "header", "user"
_TRUNK_WORDS = 4
_MAX_ECHO = 80

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)
_PHONE_NUMBER = re.compile(r"\+?[0-9]{2,15}", re.ASCII)
_ANY_PRIVATE = "^" + PREFIX
_MARK = PREFIX.lower()
# Of a message that cannot be searched.
_MANY = 2


def is_account_name(text: str) -> bool:
    """Tell whether the text can be an account's name. Nothing else may reach SQL or a header of ours."""
    return _ACCOUNT.fullmatch(text) is not None


SLEEPER = "~"


class Stage(NamedTuple):
    """What an Asterisk node asks for: stage `number` (from 0) of the call `call_id`, ringing `accounts`.

    `sleepers` are those of them that a push may wake; the header marks them with `~`. `plan_source` is where the ring
    plan came from: Kamailio then tells the end of the call; empty when it is not to.
    `whose` is panel and number, URI-encoded, with a comma between them.
    """

    number: int
    accounts: tuple[str, ...]
    call_id: str
    sleepers: tuple[str, ...] = ()
    plan_source: str = ""
    whose: str = ""


def parse_stage(value: str) -> Stage:
    """Read an `X-Entryphone-Stage` header: index, accounts, the call (Call-ID, panel, number; URI-encoded), the source.

    Raises:
        ValueError: another shape, no account, more than 30, or something that is no account name.
    """
    words = value.split(" ")
    if len(words) not in (_STAGE_WORDS, _STAGE_WORDS_AND_SOURCE) or not words[0].isdecimal():
        raise ValueError(f"{STAGE} is {value[:_MAX_ECHO]!r}: it takes an index, accounts, the call and a plan's source")
    marked = dict.fromkeys(words[1].split(","))
    sleepers = tuple(account[1:] for account in marked if account.startswith(SLEEPER))
    accounts = tuple(account.removeprefix(SLEEPER) for account in marked)
    if len(accounts) > MAX_ACCOUNTS:
        raise ValueError(f"{STAGE} names {len(accounts)} accounts: at most {MAX_ACCOUNTS} fit a stage")
    for account in accounts:
        if not is_account_name(account):
            raise ValueError(f"{STAGE} holds {account!r}, which is no account name")
    whose = words[2].partition(",")[2]
    return Stage(int(words[0]), accounts, _call_id(words[2]), sleepers, words[3] if words[3:] else "", whose)


def _call_id(call: str) -> str:
    """Return the first part of EP_CALL as it was; most Call-IDs have an `@` and nothing else to be decoded."""
    text = call.partition(",")[0].replace("%40", "@")
    return unquote(text) if "%" in text else text


class PhoneStage(NamedTuple):
    """What an Asterisk node asks for: stage `number` of the call, phones by account, trunks with what they show."""

    number: int
    phones: dict[str, str]
    trunks: tuple[tuple[str, str], ...]
    call_id: str


def parse_trunk(value: str) -> PhoneStage:
    """Read an `X-Entryphone-Trunk` header: index, `account=number,...`, `trunk=caller number,...`, and the call.

    Raises:
        ValueError: another shape, or something that is no account name or no phone number.
    """
    words = value.split(" ")
    if len(words) != _TRUNK_WORDS or not words[0].isdecimal():
        raise ValueError(f"{TRUNK} is {value[:_MAX_ECHO]!r}: it takes an index, phones, trunks and the call")
    phones = _pairs(words[1])
    trunks = _pairs(words[2])
    for name, number in (*phones, *trunks):
        if not is_account_name(name):
            raise ValueError(f"{TRUNK} holds {name[:_MAX_ECHO]!r}, which is no name")
        if _PHONE_NUMBER.fullmatch(number) is None and (number or (name, number) in phones):
            raise ValueError(f"{TRUNK} holds {number[:_MAX_ECHO]!r}, which is no phone number")
    return PhoneStage(int(words[0]), dict(phones), trunks, unquote(words[3].partition(",")[0]))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for part in text.split(","):
        name, _, value = part.partition("=")
        found.append((name, value))
    return tuple(found)


def call_of(words: str) -> str:
    """Return the Call-ID out of `EP_CALL` (Call-ID, panel, number; URI-encoded)."""
    return unquote(words.partition(",")[0])


class Target(NamedTuple):
    """Whom a probe is for: the handset of `apartment` (as it is dialled at the panel), through the panel `panel`.

    `naming` says how its maker's panels are told the apartment: in the header, or as user of the request URI. `probe`
    is the probe's number, by which its node knows it.
    """

    panel: str
    apartment: str
    naming: str
    probe: str


def parse_target(value: str) -> Target:
    """Read an `X-Entryphone-Target` header of Asterisk: `handset <panel> <apartment> <naming> <probe>`.

    Raises:
        ValueError: another shape, or a name that is none.
    """
    words = value.split(" ")
    if len(words) != _TARGET_WORDS or words[0] != "handset":
        raise ValueError(f"{TARGET} is {value[:_MAX_ECHO]!r}: it takes `handset`, panel, apartment, naming, probe")
    if not is_account_name(words[1]) or not all(word.isascii() and word.isdigit() for word in (words[2], words[4])):
        raise ValueError(f"{TARGET} is {value[:_MAX_ECHO]!r}: it holds no panel's account or no number")
    if words[3] not in (IN_HEADER, IN_USER):
        raise ValueError(f"{TARGET} is {value[:_MAX_ECHO]!r}: apartments are named in the `{IN_HEADER}` or `{IN_USER}`")
    return Target(*words[1:])


def speaks_for_us(ksr: Ksr) -> bool:
    """Tell whether the message may have an X-Entryphone header: it is searched as text, unread."""
    return _private_headers(ksr) > 0


def strip_private(ksr: Ksr) -> None:
    """Remove every X-Entryphone header from the message.

    Removing by expression compiles it each time, so the text is searched first: almost no message has such a header.
    Text that is not UTF-8 cannot be searched here, so there the expression is used at once.
    """
    if speaks_for_us(ksr):
        ksr.textops.remove_hf_re(_ANY_PRIVATE)


def remove_private(ksr: Ksr) -> None:
    """Remove every X-Entryphone header of the message as it came, without looking at it: for when nothing else works.

    What we have added ourselves stays.
    """
    ksr.textops.remove_hf_re(_ANY_PRIVATE)


def strip_stage(ksr: Ksr) -> None:
    """Remove the header of a stage, and every other X-Entryphone header should there be one."""
    if _private_headers(ksr) == 1:
        ksr.hdr.remove(STAGE)
    else:
        ksr.textops.remove_hf_re(_ANY_PRIVATE)


def _private_headers(ksr: Ksr) -> int:
    """At most how many X-Entryphone headers the message has."""
    try:
        text = ksr.kx.get_msgbuf()
    except UnicodeDecodeError:
        text = None
    return _MANY if text is None else text.lower().count(_MARK)
