"""Who is registered now: the CRM asks in Redis, the process of the story answers (docs/contracts.md, section 7).

The registrar alone knows: contacts run out by themselves and go with an old password. So nothing is written down when a
device registers; the few that somebody asks for are looked up when he does.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import headers, registration, sip_uri
from kemi_routes.clock import now_ms, steady_ms
from kemi_routes.redis_talk import RedisTalk
from kemi_routes.streams import RedisError, command

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.redis_talk import Reply
    from kemi_routes.streams import RedisStream

QUESTIONS = "ep:contact_questions"
ANSWER = "ep:contact_answer:"
MOST_ACCOUNTS = 200
# Whoever asked has gone by then.
LATE_MS = 3000
# An answer that nobody takes.
_ANSWER_LASTS_MS = "3000"
# How long Redis waits for a question, before it is asked anew: a connection that died without a word is noticed so.
_WAITS_S = "2"
_SILENT_MS = 5000
_TAKEN = "10"
# About a millisecond's work. What is left is answered at the next ticks.
_ACCOUNTS_IN_A_TICK = 400
_RETRY_MS = 1000
_PROFILE = "told"
_ID = re.compile("[0-9a-f]{32}")
_MAX_AGENT = 200
# As the registrar has it where the device did not say (save.c).
_NO_AGENT = "n/a"
_TRANSPORT = re.compile(r";transport=(tcp|tls|sctp|wss?)\b", re.IGNORECASE)
# Both or neither: an answer without end would stay.
_TELL = "redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1"
# What the turn that goes on is for.
_ASKS, _ANSWERS = "asks", "answers"

Told = dict[str, str | int | None]


class _Question(NamedTuple):
    """What is asked."""

    id: str
    asked_at_ms: int
    accounts: list[str]


def contacts_of(ksr: Ksr, account_uri: str) -> list[Told]:
    """Return where an account is reached now, what was refreshed last first."""
    if ksr.registrar.reg_fetch_contacts(registration.TABLE, account_uri, _PROFILE) < 0:
        return []

    def text(what: str, index: int) -> str:
        try:
            return str(ksr.pv.get(f"$(ulc({_PROFILE}=>{what})[{index}])") or "")
        except UnicodeDecodeError:
            return ""

    def told(index: int) -> Told:
        uri = text("received", index) or text("addr", index)
        transport = _TRANSPORT.search(uri)
        agent = text("user_agent", index)
        return {
            "address": sip_uri.host_and_port(uri),
            "transport": transport[1].lower() if transport else "udp",
            "user_agent": agent[:_MAX_AGENT] if agent not in ("", _NO_AGENT) else None,
            "registered_at_ms": int(text("modified", index) or 0) * 1000,
            "expires_at_ms": int(text("expires", index) or 0) * 1000,
        }

    try:
        count = int(ksr.pv.get(f"$ulc({_PROFILE}=>count)") or 0)
        now = now_ms()
        return [found for found in map(told, range(count)) if int(found["expires_at_ms"] or 0) > now]
    finally:
        ksr.registrar.reg_free_contacts(_PROFILE)


class ContactAnswerer:
    """Answers from the process of the rtimer `story`, which it never keeps waiting.

    Args:
        beside: the connection of the story: whether Redis is there is its business to find out, and to say.
        domain: of the accounts.
    """

    def __init__(self, beside: RedisStream, domain: str) -> None:
        self._talk = RedisTalk(beside, _SILENT_MS)
        self._domain = domain
        self._kept: deque[_Question] = deque()
        self._turn = ""
        self._retry_at_ms = 0
        self._refused = ""

    def tick(self, ksr: Ksr) -> None:
        """Take what is asked, answer some of it, and have Redis wait for more."""
        if steady_ms() < self._retry_at_ms:
            return
        try:
            self._go_on(ksr)
        except (OSError, RedisError, ValueError) as error:
            self._talk.close()
            self._turn = ""
            self._kept.clear()
            self._retry_at_ms = steady_ms() + _RETRY_MS
            if not isinstance(error, OSError) and self._refused != str(error):
                self._refused = str(error)
                ksr.err(f"nobody is told who is registered: Redis refuses ({error})\n")

    def _go_on(self, ksr: Ksr) -> None:
        if self._turn:
            replies = self._talk.tick()
            if replies is None:
                return
            self._refused = ""
            if self._turn == _ASKS:
                self._take(ksr, replies[-2], replies[-1])
        commands = self._answers(ksr)
        turn = _ANSWERS
        if not self._kept:
            turn = _ASKS
            commands += [command("BLMPOP", _WAITS_S, "1", QUESTIONS, "LEFT", "COUNT", _TAKEN), command("TIME")]
        self._turn = turn if self._talk.begin(commands) else ""

    def _take(self, ksr: Ksr, taken: Reply, time: Reply) -> None:
        """Keep what is asked; what has waited too long, by the clock of Redis, and what makes no sense is left out."""
        if not isinstance(taken, list) or not isinstance(time, list):
            return
        (seconds, microseconds), texts = time, taken[1]
        redis_ms = int(str(seconds)) * 1000 + int(str(microseconds)) // 1000
        for text in texts if isinstance(texts, list) else ():
            question = _read(str(text))
            if question is None:
                ksr.warn(f"a question who is registered makes no sense, and is not answered: {str(text)[:200]!r}\n")
            elif redis_ms - question.asked_at_ms <= LATE_MS:
                self._kept.append(question)

    def _answers(self, ksr: Ksr) -> list[bytes]:
        """Answer as much as fits into a tick, and one question at least."""
        commands: list[bytes] = []
        looked_up = 0
        while self._kept and (not commands or looked_up + len(self._kept[0].accounts) <= _ACCOUNTS_IN_A_TICK):
            question = self._kept.popleft()
            looked_up += len(question.accounts)
            told = json.dumps({"accounts": {name: self._contacts(ksr, name) for name in question.accounts}})
            commands.append(command("EVAL", _TELL, "1", ANSWER + question.id, told, _ANSWER_LASTS_MS))
        return commands

    def _contacts(self, ksr: Ksr, account: str) -> list[Told]:
        return contacts_of(ksr, f"sip:{account}@{self._domain}") if headers.is_account_name(account) else []


def _read(text: str) -> _Question | None:
    """Return the question; None when it is none."""
    try:
        said = json.loads(text)
        question = _Question(said["id"], int(said["asked_at_ms"]), said["accounts"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    accounts = question.accounts
    named = isinstance(question.id, str) and _ID.fullmatch(question.id) is not None
    listed = isinstance(accounts, list) and len(accounts) <= MOST_ACCOUNTS
    return question if named and listed and all(isinstance(name, str) for name in accounts) else None
