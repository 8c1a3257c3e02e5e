"""Who is registered now, as Kamailio knows alone: it is asked in Redis (docs/contracts.md, 7)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
import redis

from crm_api.adapters import redis_keys
from crm_api.adapters.plan_cache import RedisErrors
from crm_api.domain.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_ACCOUNTS: Final = 200
"""In one question."""
ANSWERED_WITHIN_S: Final = 0.7
"""Kamailio looks every tenth of a second, and so does Redis whether somebody has waited for long enough."""
_SILENT_S: Final = 0.95
_CONNECTED_WITHIN_S: Final = 0.5
_MOST_WAITING: Final = 100
_QUESTION_LASTS_MS: Final = 3000

_ASK: Final = """
local now = redis.call('TIME')
local question = cjson.decode(ARGV[1])
question.asked_at_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local text = cjson.encode(question)
redis.call('RPUSH', KEYS[1], text)
redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return text
"""


class RegisteredContact(msgspec.Struct, frozen=True):
    """A device that is registered. Fields that a newer Kamailio may add are passed over."""

    address: str
    transport: str
    user_agent: str | None
    registered_at_ms: int
    expires_at_ms: int


class _Answer(msgspec.Struct, frozen=True):
    accounts: dict[str, list[RegisteredContact]]


class RegistrarSilentError(ProblemError):
    """Nobody can tell who is registered."""

    kind = "registrar-silent"
    wait_s = 5


class RegistrarBusyError(ProblemError):
    """Others wait for its answers; it was not asked."""

    kind = "unavailable"
    wait_s = 1

    def __init__(self) -> None:
        super().__init__("Many ask who is registered: try again shortly")


class Registrar:
    """Asks Kamailio.

    Args:
        url: of Redis.
        at_once: how many threads may wait for an answer; a thread that waits serves nobody else.
    """

    def __init__(self, url: str, at_once: int = 1) -> None:
        self._redis: Any = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=_SILENT_S, socket_connect_timeout=_CONNECTED_WITHIN_S
        )
        self._turns = threading.BoundedSemaphore(at_once)

    def contacts(self, accounts: Sequence[str]) -> dict[str, list[RegisteredContact]]:
        """Return where each of these accounts (200 at most) is registered now, empty lists included.

        Raises:
            RegistrarSilentError: within a second there was no answer.
            RegistrarBusyError: as many as may are waiting.
        """
        if not self._turns.acquire(blocking=False):
            raise RegistrarBusyError
        try:
            told = self._answer(accounts)
        except RedisErrors as error:
            raise RegistrarSilentError(
                "Kamailio is asked through Redis, and Redis does not answer: see that it runs (`GET /health`)"
            ) from error
        finally:
            self._turns.release()
        return {account: told.accounts.get(account, []) for account in accounts}

    def _answer(self, accounts: Sequence[str]) -> _Answer:
        name = uuid4().hex
        question = msgspec.json.encode({"id": name, "accounts": list(accounts)}).decode()
        asked = self._redis.eval(_ASK, 1, redis_keys.CONTACT_QUESTIONS, question, _MOST_WAITING, _QUESTION_LASTS_MS)
        told = self._redis.blpop([redis_keys.contact_answer(name)], timeout=ANSWERED_WITHIN_S)
        if told is None:
            self._redis.lrem(redis_keys.CONTACT_QUESTIONS, 1, asked)
            raise RegistrarSilentError(
                "Kamailio has not told who is registered: see that it runs, and that its process of the story speaks "
                'with Redis (`entryphone_heartbeat_age_seconds{process="panel_calls"}` of /metrics, Kamailio\'s log)'
            )
        return msgspec.json.decode(told[1], type=_Answer)
