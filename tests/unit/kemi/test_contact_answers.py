"""Questions who is registered: answered from the process of the story, which they never keep waiting."""

from __future__ import annotations

import json
import select
import socket
from typing import TYPE_CHECKING, Any

import pytest

from kemi_routes import contact_answers
from kemi_routes.contact_answers import ANSWER, LATE_MS, MOST_ACCOUNTS, QUESTIONS, ContactAnswerer, contacts_of
from kemi_routes.redis_talk import NotAllHereError, reply_of
from kemi_routes.streams import RedisError, RedisStream, command
from tests.unit.kemi.sip_message import Contact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.kemi.fake_ksr import FakeKsr

NOW_MS = 1_790_000_000_000
ID = "0123456789abcdef0123456789abcdef"
PARK = command("BLMPOP", "2", "1", QUESTIONS, "LEFT", "COUNT", "10") + command("TIME")
URI = "sip:a1@entryphone.test"


def resp(value: Any) -> bytes:
    """As Redis answers."""
    if value is None:
        return b"*-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(resp(item) for item in value)
    return b"$%d\r\n%s\r\n" % (len(value.encode()), value.encode())


TIME = resp([str(NOW_MS // 1000), "0"])


def question(accounts: Any = None, **other: Any) -> str:
    asked = {"id": ID, "asked_at_ms": NOW_MS - 100, "accounts": ["a1"] if accounts is None else accounts}
    return json.dumps({**asked, **other})


def asked(*texts: str) -> bytes:
    """What Redis answers when questions have come."""
    return resp([QUESTIONS, list(texts)]) + TIME


class Redis:
    """A Redis of which the test says what it answers; it serves one connection at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.peer: socket.socket | None = None
        self.story = RedisStream(f"redis://:secret@127.0.0.1:{self.listener.getsockname()[1]}/2")
        # The story's own connection, which is there before anybody is asked.
        self.story._socket = socket.create_connection(self.listener.getsockname())
        self.first, _ = self.listener.accept()

    def accept(self) -> None:
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(5)

    def expect(self, wanted: bytes) -> None:
        assert self.peer is not None
        got = b""
        while len(got) < len(wanted):
            got += self.peer.recv(len(wanted) - len(got))
        assert got == wanted

    def said(self) -> bytes:
        """Everything that has come and was not expected."""
        assert self.peer is not None
        got = b""
        while select.select([self.peer], [], [], 0.05)[0] and (more := self.peer.recv(65536)):
            got += more
        return got

    def answer(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(data)

    def close(self) -> None:
        self.story.close()
        for open_socket in (self.listener, self.first, self.peer):
            if open_socket is not None:
                open_socket.close()


@pytest.fixture
def redis() -> Iterator[Redis]:
    made = Redis()
    yield made
    made.close()


@pytest.fixture
def answerer(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContactAnswerer]:
    monkeypatch.setattr(contact_answers, "now_ms", lambda: NOW_MS)
    made = ContactAnswerer(redis.story, "entryphone.test")
    yield made
    made._talk.close()


def ticks(answerer: ContactAnswerer, fake: FakeKsr) -> None:
    """Tick until what Redis has said is here (loopback takes its time, too), and once more."""
    connection = answerer._talk._socket
    if connection is not None:
        select.select([connection], [], [], 5)
    answerer.tick(fake.ksr)


def is_connected(answerer: ContactAnswerer) -> bool:
    """Whether there is a connection, or one that is being made."""
    return answerer._talk._socket is not None


def parked(redis: Redis, answerer: ContactAnswerer, fake: FakeKsr) -> None:
    """Redis waits for questions."""
    answerer.tick(fake.ksr)
    redis.accept()
    answerer.tick(fake.ksr)  # the connection was being made before
    redis.expect(command("AUTH", "secret") + command("SELECT", "2") + PARK)


def told_in(sent: bytes) -> tuple[str, Any]:
    """Key and accounts of the answer that was sent."""
    parts = sent.split(b"\r\n")
    assert parts[2] == b"EVAL"
    return parts[8].decode(), json.loads(parts[10])["accounts"]


def register(fake: FakeKsr, account: str = "a1", **more: Any) -> None:
    known: dict[str, Any] = {"modified": NOW_MS // 1000 - 60, "expires": NOW_MS // 1000 + 600, **more}
    fake.location.setdefault(account, []).append(Contact(f"sip:{account}@10.0.0.7:5070", "r1", **known))


def test_a_contact_is_told_with_where_it_is_reached(fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_answers, "now_ms", lambda: NOW_MS)
    register(fake, user_agent="baresip v3")
    register(fake, received="sip:198.51.100.7:40123;transport=TCP", user_agent="n/a")
    register(fake, received="sip:198.51.100.8", user_agent="x" * 500)
    register(fake, user_agent=b"\xff")
    register(fake, expires=NOW_MS // 1000)  # has run out, and the registrar's timer has not come by yet
    times = {"registered_at_ms": NOW_MS - 60_000, "expires_at_ms": NOW_MS + 600_000}
    assert contacts_of(fake.ksr, URI) == [
        {"address": "10.0.0.7:5070", "transport": "udp", "user_agent": "baresip v3", **times},
        {"address": "198.51.100.7:40123", "transport": "tcp", "user_agent": None, **times},
        {"address": "198.51.100.8:5060", "transport": "udp", "user_agent": "x" * 200, **times},
        {"address": "10.0.0.7:5070", "transport": "udp", "user_agent": None, **times},
    ]
    assert contacts_of(fake.ksr, "sip:nobody@entryphone.test") == []
    assert not fake.fetched


def test_a_question_is_answered_and_the_next_waited_for(fake: FakeKsr, redis: Redis, answerer: ContactAnswerer) -> None:
    register(fake)
    parked(redis, answerer, fake)
    redis.answer(b"+OK\r\n+OK\r\n" + asked(question(["a1", "a2", "no'name"])))
    ticks(answerer, fake)
    sent = redis.said()
    key, accounts = told_in(sent)
    assert key == ANSWER + ID
    assert accounts["a1"][0]["address"] == "10.0.0.7:5070"
    assert accounts["a2"] == accounts["no'name"] == []
    assert sent.endswith(PARK)
    redis.answer(b":1\r\n" + asked(question(["a2"])))
    ticks(answerer, fake)
    assert told_in(redis.said())[1] == {"a2": []}
    redis.answer(b":1\r\n" + resp(None) + TIME)  # nobody asks
    ticks(answerer, fake)
    assert redis.said() == PARK
    assert not fake.logs


def test_an_answer_in_pieces_is_waited_for_and_keeps_nobody(
    fake: FakeKsr, redis: Redis, answerer: ContactAnswerer
) -> None:
    parked(redis, answerer, fake)
    whole = b"+OK\r\n+OK\r\n" + asked(question())
    for at in range(0, len(whole) - 20, 20):
        redis.answer(whole[at : at + 20])
        ticks(answerer, fake)
        assert redis.said() == b""
    redis.answer(whole[at + 20 :])
    ticks(answerer, fake)
    assert told_in(redis.said())[1] == {"a1": []}


def test_what_is_too_old_or_makes_no_sense_is_not_answered(
    fake: FakeKsr, redis: Redis, answerer: ContactAnswerer
) -> None:
    wrong = [
        "no JSON", "7", "[]", "{}", question(id="x y"), question(id=7), question(accounts=None) + "}",
        question(["a"] * (MOST_ACCOUNTS + 1)), question(accounts=[1]), question(accounts="a1"),
        question(asked_at_ms="soon"), "[" * 100_000,
    ]  # fmt: skip
    parked(redis, answerer, fake)
    old = question(asked_at_ms=NOW_MS - LATE_MS - 1)
    redis.answer(b"+OK\r\n+OK\r\n" + asked(old, *wrong))
    ticks(answerer, fake)
    while (sent := redis.said()) == b"":
        ticks(answerer, fake)
    assert sent == PARK
    assert len(fake.logs) == len(wrong)
    assert all(len(line) < 400 for line in fake.logs)


def test_many_accounts_are_answered_over_several_ticks(fake: FakeKsr, redis: Redis, answerer: ContactAnswerer) -> None:
    parked(redis, answerer, fake)
    names = [f"p{i}" for i in range(MOST_ACCOUNTS)]
    redis.answer(b"+OK\r\n+OK\r\n" + asked(*[question(names)] * 5))
    ticks(answerer, fake)
    counts = []
    while not (sent := redis.said()).endswith(PARK):
        counts.append(sent.count(b"EVAL"))
        redis.answer(b":1\r\n" * counts[-1])
        ticks(answerer, fake)
    assert [*counts, sent.count(b"EVAL")] == [2, 2, 1]


@pytest.mark.parametrize("how", ["closes", "refuses", "is no Redis"])
def test_a_connection_that_fails_is_made_anew_and_said_once(
    fake: FakeKsr, redis: Redis, answerer: ContactAnswerer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(contact_answers, "_RETRY_MS", -1)
    for _ in range(2):
        parked(redis, answerer, fake)
        assert redis.peer is not None
        if how == "refuses":
            redis.answer(b"+OK\r\n+OK\r\n-NOPERM this user has no permissions\r\n" + TIME)
        elif how == "is no Redis":
            redis.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        redis.peer.close()
        while is_connected(answerer):
            ticks(answerer, fake)
    assert len(fake.logs) == (0 if how == "closes" else 1)
    parked(redis, answerer, fake)
    redis.answer(b"+OK\r\n+OK\r\n" + asked(question()))
    ticks(answerer, fake)
    assert told_in(redis.said())[1] == {"a1": []}


def test_a_silent_redis_is_given_up_and_nobody_waits_for_it(
    fake: FakeKsr, redis: Redis, answerer: ContactAnswerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked(redis, answerer, fake)
    answerer.tick(fake.ksr)
    assert is_connected(answerer)
    monkeypatch.setattr(answerer._talk, "_silent_ms", -1)
    answerer.tick(fake.ksr)
    assert not is_connected(answerer)
    answerer.tick(fake.ksr)
    assert not is_connected(answerer), "not tried again at once"
    assert not fake.logs, "the story says that Redis is away"


def test_without_a_connection_of_the_story_nothing_is_tried(fake: FakeKsr) -> None:
    answerer = ContactAnswerer(RedisStream("redis://redis.invalid/0"), "entryphone.test")
    answerer.tick(fake.ksr)
    assert not is_connected(answerer)


def test_answers_of_redis_are_read_as_it_writes_them() -> None:
    data = b"*3\r\n$2\r\nab\r\n*-1\r\n$-1\r\n:7\r\n"
    assert reply_of(data) == (["ab", None, None], len(data) - 4)
    assert reply_of(data, len(data) - 4) == (7, len(data))
    refused, _ = reply_of(b"-ERR no\r\n")
    assert isinstance(refused, RedisError)
    for end in range(1, len(data) - 4):
        with pytest.raises(NotAllHereError):
            reply_of(data[:end])
    with pytest.raises(ValueError, match="no answer"):
        reply_of(b"HTTP\r\n")
