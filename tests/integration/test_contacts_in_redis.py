"""Who is registered is asked and answered in a real Redis, by both sides as they are; nothing is left there."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from crm_api.adapters import redis_keys
from crm_api.adapters.registrar import MOST_ACCOUNTS, RegisteredContact, Registrar, RegistrarBusyError
from crm_api.adapters.registrar import RegistrarSilentError as SilentError
from kemi_routes.contact_answers import ContactAnswerer
from kemi_routes.streams import RedisStream, StoryShipper
from tests.sip.promises import kept_within
from tests.unit.kemi.fake_ksr import FakeKsr
from tests.unit.kemi.sip_message import Contact

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis as redis_py

    from lab.stack import Stack

TICK_S = 0.1
GIVEN_UP_S = 1.3
"""A second, and what a busy machine takes besides."""


class Kamailio:
    """The process of the story, in a thread of the test."""

    def __init__(self, url: str) -> None:
        self.fake = FakeKsr()
        stream = RedisStream(url)
        self._story, self.answerer = StoryShipper(stream), ContactAnswerer(stream, "entryphone.test")
        self._over = threading.Event()
        self.longest_s = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(TICK_S):
            self._story.tick(self.fake.ksr)
            began_s = time.thread_time()
            self.answerer.tick(self.fake.ksr)
            self.longest_s = max(self.longest_s, time.thread_time() - began_s)

    def register(self, account: str, agent: str = "baresip") -> None:
        now_s = int(time.time())
        contact = Contact(f"sip:{account}@10.0.0.7:5070", "r", now_s - 5, now_s + 600, user_agent=agent)
        self.fake.location.setdefault(account, []).append(contact)

    def end(self) -> None:
        self._over.set()
        self._thread.join(10)
        self._story._stream.close()
        self.answerer._talk.close()


@pytest.fixture
def kamailio(url: str) -> Iterator[Kamailio]:
    made = Kamailio(url)
    yield made
    made.end()


def nothing_is_left(client: redis_py.Redis) -> None:
    """At once, or after some seconds, where an answer came when nobody waited any more."""
    deadline_s = time.monotonic() + 20
    while (left := client.keys("ep:contact*")) != []:
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)


def told(registrar: Registrar, *accounts: str, within_s: float = 20) -> dict[str, list[RegisteredContact]]:
    """The answer, once Kamailio has begun to listen."""
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            return registrar.contacts(accounts)
        except SilentError:
            if time.monotonic() > deadline_s:
                raise


def said_within_a_second(registrar: Registrar, what: str) -> None:
    """Nobody can tell, and that does not take long."""

    def said_after_s() -> float:
        began_s = time.monotonic()
        with pytest.raises(SilentError, match=what):
            registrar.contacts(["a1"])
        return time.monotonic() - began_s

    asyncio.run(kept_within(GIVEN_UP_S, lambda: asyncio.to_thread(said_after_s)))


def test_an_account_is_told_with_its_devices(url: str, client: redis_py.Redis, kamailio: Kamailio) -> None:
    kamailio.register("a1", "baresip v3 \u041a\u0430\u043c\u0430")
    kamailio.register("a1")
    registrar = Registrar(url)
    found = told(registrar, "a1", "nobody")
    assert [contact.user_agent for contact in found["a1"]] == ["baresip v3 \u041a\u0430\u043c\u0430", "baresip"]
    assert found["a1"][0].address == "10.0.0.7:5070"
    assert found["nobody"] == []
    nothing_is_left(client)
    assert [line for line in kamailio.fake.logs if "who is registered" in line] == []


def test_as_many_as_one_may_ask_for_are_told(url: str, client: redis_py.Redis, kamailio: Kamailio) -> None:
    names = [f"p{index:05}" for index in range(MOST_ACCOUNTS)]
    for name in names:
        kamailio.register(name, "x" * 200)
        kamailio.register(name, "y" * 200)
    found = told(Registrar(url), *names)
    assert [len(found[name]) for name in names] == [2] * MOST_ACCOUNTS
    nothing_is_left(client)


def test_many_who_ask_together_are_all_told(url: str, client: redis_py.Redis, kamailio: Kamailio) -> None:
    kamailio.register("a1")
    registrar = Registrar(url, at_once=8)
    told(registrar, "a1")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: told(registrar, "a1"), range(8)))
    assert [len(each["a1"]) for each in found] == [1] * 8
    nothing_is_left(client)


def test_without_kamailio_it_is_said_within_a_second_and_nothing_is_left(url: str, client: redis_py.Redis) -> None:
    said_within_a_second(Registrar(url), "Kamailio has not told")
    nothing_is_left(client)


def test_no_more_wait_at_once_than_may(url: str, client: redis_py.Redis) -> None:
    registrar = Registrar(url, at_once=1)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(registrar.contacts, ["a1"])
        while not client.exists(redis_keys.CONTACT_QUESTIONS):
            assert not first.done()
        with pytest.raises(RegistrarBusyError):
            registrar.contacts(["a1"])
        assert isinstance(first.exception(10), SilentError)
    with pytest.raises(SilentError):
        registrar.contacts(["a1"])  # its turn came back


def test_a_question_of_somebody_who_died_goes_by_itself(url: str, client: redis_py.Redis) -> None:
    registrar = Registrar(url)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(registrar.contacts, ["a1"])
        while not (kept := client.lrange(redis_keys.CONTACT_QUESTIONS, 0, -1)):
            assert not waiting.done()
        assert 0 < int(str(client.pttl(redis_keys.CONTACT_QUESTIONS))) <= 3000
        waiting.exception(10)
    question = json.loads(kept[0])
    assert question["accounts"] == ["a1"]
    assert abs(question["asked_at_ms"] - time.time() * 1000) < 60_000


def test_kamailio_that_comes_back_answers_nobody_who_has_gone(url: str, client: redis_py.Redis) -> None:
    old = {"id": "0" * 32, "asked_at_ms": int(time.time() * 1000) - 60_000, "accounts": ["a1"]}
    client.rpush(redis_keys.CONTACT_QUESTIONS, json.dumps(old))
    kamailio = Kamailio(url)
    try:
        kamailio.register("a1")
        assert told(Registrar(url), "a1")["a1"]
    finally:
        kamailio.end()
    nothing_is_left(client)


def test_an_answer_that_nobody_takes_goes_by_itself(url: str, client: redis_py.Redis, kamailio: Kamailio) -> None:
    told(Registrar(url), "a1")
    name = "f" * 32
    late = {"id": name, "asked_at_ms": int(time.time() * 1000), "accounts": ["a1"]}
    client.rpush(redis_keys.CONTACT_QUESTIONS, json.dumps(late))
    deadline_s = time.monotonic() + 20
    while not client.exists(redis_keys.contact_answer(name)):
        assert time.monotonic() < deadline_s
    assert 0 < int(str(client.pttl(redis_keys.contact_answer(name)))) <= 3000
    assert kamailio.fake.logs == []


@pytest.mark.parametrize("how", ["hangs", "is away"])
def test_without_redis_it_is_said_within_a_second(redis_lab: Stack, url: str, how: str) -> None:
    registrar = Registrar(url)
    with pytest.raises(SilentError):
        registrar.contacts(["a1"])  # connected from now on
    if how == "hangs":
        redis_lab.kill("redis", signal.SIGSTOP)
    else:
        redis_lab.kill("redis")
    try:
        said_within_a_second(registrar, "Redis does not answer")
    finally:
        if how == "hangs":
            redis_lab.kill("redis", signal.SIGCONT)


def test_kamailio_answers_again_after_redis_was_away_and_was_never_kept_waiting(
    redis_lab: Stack, url: str, kamailio: Kamailio
) -> None:
    kamailio.register("a1")
    registrar = Registrar(url)
    told(registrar, "a1")
    redis_lab.kill("redis")
    redis_lab.start("redis")
    assert told(registrar, "a1")["a1"]
    assert kamailio.longest_s < TICK_S, "processor time of one tick"
