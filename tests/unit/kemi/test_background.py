"""What runs beside the SIP workers: shipping the story, answering for dead nodes, keeping the contacts' database."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi_routes import (
    challenges,
    contacts_database,
    headers,
    late_ringing,
    node_life,
    nodes,
    panel_calls,
    router,
    settings,
    stage_calls,
    story,
)
from kemi_routes.pipeline import DONE, NEXT
from kemi_routes.streams import RedisStream, StoryShipper, command
from tests.unit.kemi.fake_ksr import FakeKsr
from tests.unit.kemi.sip_message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request


def test_resp_counts_bytes() -> None:
    assert command("XADD", "ж") == b"*2\r\n$4\r\nXADD\r\n$2\r\n\xd0\xb6\r\n"


def serve(answers: list[bytes]) -> tuple[str, list[bytes], threading.Thread]:
    """A Redis that gives these answers, one for each thing it receives."""
    listener = socket.create_server(("127.0.0.1", 0))
    received: list[bytes] = []

    def run() -> None:
        with listener, listener.accept()[0] as peer:
            for answer in answers:
                received.append(peer.recv(1 << 20))
                peer.sendall(answer)

    thread = threading.Thread(target=run)
    thread.start()
    return f"redis://127.0.0.1:{listener.getsockname()[1]}/2", received, thread


def test_a_batch_is_one_xadd(fake: FakeKsr) -> None:
    url, received, thread = serve([b"+OK\r\n", b"$3\r\n1-1\r\n", b":1\r\n"])
    story.dialled(fake.ksr, "c1", "p1", "12")
    story.panel_called(fake.ksr, "c1", "p2")  # no part of the story
    story.refused(fake.ksr, "c2", 'a "reason"\n', 503)
    stream = RedisStream(url)
    StoryShipper(stream).tick(fake.ksr)
    thread.join(5)
    stream.close()
    assert received[0] == command("SELECT", "2")
    sent = received[1].decode()
    assert "ep:call_events" in sent
    events = json.loads(sent[sent.index("[{") :].rstrip("\r\n"))
    assert [event["event"] for event in events] == ["dialled", "refused"]
    assert events[1]["reason"] == 'a "reason"\n'


def test_redis_away_keeps_the_story_and_says_so_once(fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        shipper = StoryShipper(RedisStream(f"redis://127.0.0.1:{unused.getsockname()[1]}/2"))
        monkeypatch.setattr("kemi_routes.streams._RETRY_S", 0.0)
        for _ in range(3):
            story.refused(fake.ksr, "c", "r", 503)
            shipper.tick(fake.ksr)
    assert len(fake.logs) == 1
    url, _, thread = serve([b"+OK\r\n", b"$3\r\n1-1\r\n", b":1\r\n"])
    shipper._stream = RedisStream(url)
    shipper.tick(fake.ksr)
    thread.join(5)
    shipper._stream.close()
    assert not shipper._kept


def test_an_error_of_redis_is_told(fake: FakeKsr) -> None:
    url, _, thread = serve([b"+OK\r\n", b"-OOM command not allowed\r\n"])
    story.refused(fake.ksr, "c", "r", 503)
    shipper = StoryShipper(RedisStream(url))
    shipper.tick(fake.ksr)
    thread.join(5)
    assert "OOM" in fake.logs[0]
    assert len(shipper._kept) == 1


PROVISIONAL = (
    "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP 127.0.0.10;branch=z9hG4bKa.b.0\r\nVia: SIP/2.0/UDP 127.0.1.1;branch=x\r\n"
    "From: <sip:p1@d>;tag=f\r\nTo: <sip:12@d>\r\nCall-ID: c\r\nCSeq: 2 INVITE\r\nServer: A\r\nContent-Length: 0\r\n\r\n"
)


def test_503_is_made_from_a_provisional_reply() -> None:
    lines = nodes.as_503(PROVISIONAL.encode()).decode().split("\r\n")
    assert lines[0] == "SIP/2.0 503 Node Lost"
    assert lines[1:7] == [
        "Via: SIP/2.0/UDP 127.0.0.10;branch=z9hG4bKa.b.0",
        "Via: SIP/2.0/UDP 127.0.1.1;branch=x",
        "From: <sip:p1@d>;tag=f",
        "To: <sip:12@d>;tag=node-lost",
        "Call-ID: c",
        "CSeq: 2 INVITE",
    ]
    with pytest.raises(ValueError, match="no provisional"):
        nodes.as_503(b"SIP/2.0 200 OK\r\n\r\n")


def test_a_dead_node_loses_its_legs_and_no_others(fake: FakeKsr) -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.9", 0))
    receiver.settimeout(5)
    fake.defines |= {"EP_SIP_ADDRESS": "127.0.0.9", "EP_SIP_PORT": str(receiver.getsockname()[1])}
    fake.tables["setup"] |= {
        "c1": "P 127.0.0.21:5060 rings 1",
        "c2": "P 127.0.0.22:5060 rings 1",
        "c3": "P 127.0.0.21:5060 sent 1",
        "s1": "S 127.0.0.21:5060 7",
        "s2": "S 127.0.0.22:5060 8",
    }
    fake.tables["provisional"]["c1"] = PROVISIONAL.encode().hex()
    fake.message.ruri = "sip:127.0.0.21:5060"
    nodes.node_event(fake.ksr, "dispatcher:dst-down")
    closed: list[str] = []
    watch = nodes.NodeWatch(settings.read(fake.ksr), (lambda _ksr, leg_id: closed.append(leg_id),))
    watch.tick(fake.ksr)
    assert receiver.recv(2000).startswith(b"SIP/2.0 503")
    assert closed == ["s1"], "an app that wakes now must not be rung for nobody"
    assert fake.called("tmx.t_cancel_callid") == [("s1", "7", 0)]
    assert fake.tables["setup"]["c1"] == "P 127.0.0.21:5060 lost 1"
    assert fake.tables["setup"]["c2"] == "P 127.0.0.22:5060 rings 1"
    assert fake.tables["setup"]["c3"] == "P 127.0.0.21:5060 sent 1", "it may be slow only, and take the call"
    receiver.close()
    watch.close()


def test_of_a_node_whose_100_was_lost_its_ringing_is_kept(fake: FakeKsr) -> None:
    fake.tables["setup"]["call-1"] = "P 127.0.0.21:5060 dials 1"
    for status, body in ((180, ""), (183, "v=0")):
        fake.message = Message(status=status, body=body)
        panel_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    kept = fake.tables["provisional"]["call-1"]
    assert bytes.fromhex(str(kept)).startswith(b"SIP/2.0 180")


def test_a_panels_name_in_another_encoding_moves_with_its_call(fake: FakeKsr) -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.9", 0))
    receiver.settimeout(5)
    fake.defines |= {"EP_SIP_ADDRESS": "127.0.0.9", "EP_SIP_PORT": str(receiver.getsockname()[1])}
    name = '"\udccf\0" <sip:p1@d>;tag=f'
    fake.message = Message(
        status=100, call_id="c1", headers=[("From", name), ("To", "<sip:12@d>"), ("CSeq", "2 INVITE")]
    )
    nodes.keep_provisional(fake.ksr, "c1")
    fake.tables["setup"] |= {"c1": "P 127.0.0.21:5060 rings 1", "c2": "P 127.0.0.21:5060 dials 1"}
    fake.queues["lost_nodes"].append(("sip:127.0.0.21:5060", nodes.STARTED))
    watch = nodes.NodeWatch(settings.read(fake.ksr))
    watch.tick(fake.ksr)
    assert f"\r\nFrom: {name}\r\n".encode("utf-8", "surrogateescape") in receiver.recv(2000)
    assert "nothing was heard" in fake.logs[0]
    assert "call_id=c2" in fake.logs[0]
    assert "1 calls in setup sent on" in fake.logs[1]
    receiver.close()
    watch.close()


def test_what_a_node_had_before_it_started_is_over_although_it_lives(
    fake: FakeKsr, request_of: Callable[[FakeKsr], Request]
) -> None:
    node_life.Hearing().note(fake.ksr, "127.0.0.21")
    fake.tables["setup"] |= {
        "c1": "P 127.0.0.21:5060 rings 1",
        "s1": "S 127.0.0.21:5060 7",
        "s2": "S 127.0.0.22:5060 8",
    }
    fake.message = Message(ruri="sip:node-started@127.0.0.10", source_ip="127.0.0.21")
    router.answer_asterisk(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "Noted")]
    nodes.NodeWatch(settings.read(fake.ksr)).tick(fake.ksr)
    assert fake.called("tmx.t_cancel_callid") == [("s1", "7", 0)]
    assert fake.tables["setup"] == {"c1": "P 127.0.0.21:5060 lost 1", "s2": "S 127.0.0.22:5060 8"}


def test_a_copy_of_the_word_of_a_node_that_another_worker_has_in_hand_is_let_go(
    fake: FakeKsr, request_of: Callable[[FakeKsr], Request]
) -> None:
    fake.message = Message(ruri="sip:node-started@127.0.0.10", source_ip="127.0.0.21")
    fake.results["tm.t_newtran"] = 0
    assert router.answer_asterisk(fake.ksr, request_of(fake)) is DONE
    assert not fake.queues["lost_nodes"]
    assert fake.replies == []


def test_nobody_but_a_node_says_that_a_node_has_started(
    fake: FakeKsr, request_of: Callable[[FakeKsr], Request]
) -> None:
    fake.message = Message(ruri="sip:node-started@127.0.0.10", source_ip="127.0.2.1")
    assert router.answer_asterisk(fake.ksr, request_of(fake)) is NEXT
    assert not fake.queues["lost_nodes"]


def test_a_node_that_misses_probes_but_was_heard_stays_up(fake: FakeKsr) -> None:
    node_life.Hearing().note(fake.ksr, "127.0.0.21")
    fake.tables["setup"]["c1"] = "P 127.0.0.21:5060 rings 1"
    fake.message.ruri = "sip:127.0.0.21:5060"
    nodes.node_event(fake.ksr, "dispatcher:dst-down")
    nodes.NodeWatch(settings.read(fake.ksr)).tick(fake.ksr)
    assert fake.called("dispatcher.ds_mark_addr") == [("ap", 1, "sip:127.0.0.21:5060")]
    assert fake.tables["setup"]["c1"] == "P 127.0.0.21:5060 rings 1"


def test_the_node_of_emergency_calls_is_brought_back_in_its_own_set(fake: FakeKsr) -> None:
    fake.emergency_node = "127.0.0.24"
    node_life.bring_back(fake.ksr, "sip:127.0.0.24:5060")
    assert fake.called("dispatcher.ds_mark_addr") == [("ap", 2, "sip:127.0.0.24:5060")]


def test_ringing_that_stays_is_said_again_once(fake: FakeKsr) -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.9", 0))
    receiver.settimeout(5)
    fake.defines |= {"EP_SIP_ADDRESS": "127.0.0.9", "EP_SIP_PORT": str(receiver.getsockname()[1])}
    again = late_ringing.LateRinging(settings.read(fake.ksr))
    fake.tables["ringing"] |= {"s1 127.0.2.1 5060": b"late".hex(), "s1 127.0.2.2 5060": b"in time".hex()}
    again.tick(fake.ksr)
    assert len(fake.tables["ringing"]) == 2, "said too early"
    del fake.tables["ringing"]["s1 127.0.2.2 5060"]
    fake.tables["ringing"]["s2 127.0.2.3 5060"] = b"just now".hex()
    again.tick(fake.ksr)
    said, (source_ip, _) = receiver.recvfrom(2000)
    assert (said, source_ip) == (b"late", "127.0.0.9"), "from elsewhere it would be kept again, and said for ever"
    assert list(fake.tables["ringing"]) == ["s2 127.0.2.3 5060"]
    again.tick(fake.ksr)
    assert receiver.recv(2000) == b"just now"
    assert not fake.tables["ringing"]
    receiver.close()
    if again._socket is not None:
        again._socket.close()


def test_a_challenge_that_stays_unanswered_is_told_once(fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.tables["challenged"] |= {"c1": "1000 127.0.2.1", "c2": "1001 127.0.2.2"}
    monkeypatch.setattr("kemi_routes.challenges.time.monotonic", lambda: 1000.9 + challenges.PATIENCE_S)
    challenges.tell_unanswered(fake.ksr)
    challenges.tell_unanswered(fake.ksr)
    assert fake.logs == ["no credentials: INVITE was challenged and did not come back; source=127.0.2.1 call_id=c1\n"]
    assert list(fake.tables["challenged"]) == ["c2"]


def test_what_was_heard_is_noted_now_and_then_and_grows_old(fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**18
    monkeypatch.setattr("kemi_routes.clock.time.monotonic_ns", lambda: now_ns)
    hearing = node_life.Hearing()
    for _ in range(100):
        hearing.note(fake.ksr, "a")
    assert len(fake.called("htable.sht_sets")) == 1
    assert node_life.lives(fake.ksr, "a")
    now_ns += 2 * 10**9
    assert not node_life.lives(fake.ksr, "a")
    assert not node_life.lives(fake.ksr, "b")


@pytest.mark.parametrize("uri", ["sip:10.0.0.1:5060", "sip:10.0.0.1", "sip:x@10.0.0.1:5060;transport=udp"])
def test_names_of_nodes(uri: str) -> None:
    assert node_life.name_of(uri) == "10.0.0.1:5060"


ACCOUNT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)


@given(st.integers(0, 99), st.lists(ACCOUNT, min_size=1, max_size=30, unique=True), st.text(min_size=1))
def test_a_stage_survives_its_header(index: int, names: list[str], call_id: str) -> None:
    call = ",".join(quote(part, safe="") for part in (call_id, "p1", "12"))
    text = f"{index} {','.join(names)} {call}"
    assert headers.parse_stage(text) == headers.Stage(index, tuple(names), call_id, whose="p1,12")
    assert headers.parse_stage(f"{text} redis") == headers.Stage(index, tuple(names), call_id, (), "redis", "p1,12")


@given(st.text())
def test_an_account_name_is_safe_in_sql_and_in_a_header(text: str) -> None:
    if headers.is_account_name(text):
        assert text.isascii()
        assert not set(text) & set("'\"\\\r\n;, \t|")


@given(st.one_of(st.text(), st.from_regex(r"[0-9]{1,2} [a-zA-Z0-9.,_ -]+ .+")))
def test_any_header_gives_good_names_or_an_error(text: str) -> None:
    try:
        names = headers.parse_stage(text).accounts
    except ValueError:
        return
    assert 1 <= len(names) <= 30
    assert all(headers.is_account_name(name) for name in names)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.text(), st.text())
def test_a_story_is_json_whatever_is_in_it(call_id: str, account: str, contact: str) -> None:
    fake = FakeKsr()
    story.branches(fake.ksr, call_id, 0, [story.BranchEvent(1, account, contact, "invited", None)])
    event = json.loads(fake.queues["story"][0][1])
    assert (event["call_id"], event["account"], event["contact"]) == (call_id, account, contact)


@given(st.lists(ACCOUNT, min_size=1, max_size=5))
def test_branches_survive_the_transaction(names: list[str]) -> None:
    branches = [f"uloc-{i}\t{name}\tsip:{name}@h" for i, name in enumerate(names)]
    lines = "".join(branch + "\n" for branch in branches)
    kept = stage_calls.parse_branches(f"c\n2\nredis\np1,12\n{lines}")
    assert kept == stage_calls.Kept("c", "2", "redis", "p1,12", branches)
    assert [kept.index_of(f"uloc-{i}") for i in range(-1, len(names))] == list(range(-1, len(names)))
    assert stage_calls.parse_branches(f"c\n2\n\np1,12\n{lines}").plan_source == ""


@pytest.mark.parametrize(("rank", "asked"), [(-127, 0), (0, 0), (-4, 0), (1, 2), (-1, 2)])
def test_contacts_are_written_without_waiting_for_the_disk(fake: FakeKsr, rank: int, asked: int) -> None:
    contacts_database.prepare(fake.ksr, rank, "sqlite:////var/lib/location.db")
    assert len(fake.called("sqlops.sql_query")) == asked


def test_another_database_is_left_alone(fake: FakeKsr) -> None:
    contacts_database.prepare(fake.ksr, 1, "postgres://user:word@host/location")
    assert fake.calls == []


@pytest.mark.parametrize(("pages", "modes"), [(7999, ["passive"]), (8000, ["passive", "restart"])])
def test_a_long_log_begins_again(fake: FakeKsr, pages: int, modes: list[str]) -> None:
    fake.log_pages = pages
    contacts_database.copy_back(fake.ksr, "sqlite:////var/lib/location.db")
    asked = [text for _, text, _ in fake.called("sqlops.sql_query")]
    assert asked == [f"pragma wal_checkpoint({mode})" for mode in modes]


def test_nothing_is_copied_back_in_another_database(fake: FakeKsr) -> None:
    contacts_database.copy_back(fake.ksr, "postgres://user:word@host/location")
    assert fake.calls == []
