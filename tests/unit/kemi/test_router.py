"""The border to Kamailio: names of callbacks, exceptions, the order of steps."""

import re
import signal
from pathlib import Path

import pytest

from kemi_routes import (
    dialogs,
    emergency_calls,
    ending,
    panel_calls,
    probe_calls,
    router,
    stage_calls,
    trunk_calls,
    voice_calls,
    waking,
)
from tests.unit.kemi.fake_ksr import FakeKsr

REPOSITORY = Path(__file__).resolve().parents[3]


def test_every_callback_named_anywhere_is_a_method() -> None:
    text = (REPOSITORY / "kamailio" / "kamailio.cfg").read_text()
    names = {*re.findall(r"route=(\w+)", text), *re.findall(r'_callback", "(\w+)"', text)}
    assert len(names) == 6
    names |= set(re.findall(r'on_sl_reply", "(\w+)"', text))
    assert "on_stray_reply" in names
    names |= {panel_calls.ON_REPLY, panel_calls.ON_FAILURE, stage_calls.ON_REPLY, stage_calls.ON_FAILURE}
    names |= {dialogs.ON_REPLY, probe_calls.ON_FAILURE}
    names |= {waking.ON_RESUME, voice_calls.ON_RESUME}
    for relaying in (trunk_calls.RELAYING, emergency_calls.RELAYING):
        names |= {relaying.on_branch, relaying.on_reply, relaying.on_failure}
    assert all(callable(getattr(router.Router, name, None)) for name in names)
    source = "".join(path.read_text() for path in (REPOSITORY / "kemi_routes").glob("*.py"))
    assert set(re.findall(r"t_on_\w+\(([^)]*)\)", source)) == {
        *("ON_REPLY", "ON_FAILURE", "RELAYING.on_failure", "dialogs.ON_REPLY"),
        *("relaying.on_branch", "relaying.on_reply", "relaying.on_failure"),
    }


@pytest.mark.parametrize(("source", "dropped"), [("127.0.0.21", 0), ("127.0.1.1", 1)])
def test_a_reply_to_nothing_goes_nowhere_unless_it_is_a_nodes(fake: FakeKsr, source: str, dropped: int) -> None:
    fake.message.source_ip, fake.message.status = source, 200
    router.build(fake.ksr, first=False).on_stray_reply(None, "tm:sl-reply")
    assert len(fake.called("set_drop")) == dropped


_OURS = "SIP/2.0/UDP 127.0.0.10;branch=z9hG4bKa"


@pytest.mark.parametrize(("via", "status", "passes"), [
    ("SIP/2.0/UDP 127.0.0.21:5060;rport=5060;received=127.0.0.21;branch=z9hG4bKb", 200, True),
    ("SIP/2.0/UDP 127.0.0.21:5060;branch=z9hG4bKb", 200, True),
    ("SIP/2.0/UDP 127.0.0.21:5060;branch=z9hG4bKb", 180, False),
    ("SIP/2.0/UDP 127.0.0.21:5060;branch=z9hG4bKb", 486, False),
    ("SIP/2.0/UDP 127.0.0.21:5060;received=evil.example;branch=z9hG4bKb", 200, False),
    ("SIP/2.0/UDP 127.0.0.21:5060;maddr=evil.example;branch=z9hG4bKb", 200, False),
    ("SIP/2.0/UDP 127.0.0.21:5060;rport=53;branch=z9hG4bKb", 200, False),
    ("SIP/2.0/TCP 127.0.0.21:5060;branch=z9hG4bKb", 200, False),
    ("SIP/2.0/UDP evil.example;branch=z9hG4bKb", 200, False),
    ("SIP/2.0/UDP 127.0.1.1:5060;branch=z9hG4bKb", 200, False),
    ("", 200, False),
])  # fmt: skip
@pytest.mark.parametrize("together", [True, False])
def test_a_repeated_answer_reaches_the_node_and_nobody_else(
    fake: FakeKsr, via: str, status: int, passes: bool, together: bool
) -> None:
    vias = [f"{_OURS}, {via}"] if together else [_OURS, *([via] if via else [])]
    fake.message.headers = [*(("Via", text) for text in vias), ("CSeq", "7 INVITE"), ("Contact", "<sip:a@10.9.9.9>")]
    fake.message.source_ip, fake.message.status = "127.0.1.1", status
    router.build(fake.ksr, first=False).on_stray_reply(None, "tm:sl-reply")
    assert (not fake.called("set_drop")) is passes
    assert bool(fake.called("nathelper.set_contact_alias_trim")) is passes, "it is reached where it sends from"


def test_only_the_entry_imports_ksr() -> None:
    importing = {
        p.name
        for p in (REPOSITORY / "kemi_routes").glob("*.py")
        if re.search(r"^import KSR", p.read_text(), re.MULTILINE)
    }
    assert importing == {"entry.py"}


def test_an_exception_is_one_line_and_500(fake: FakeKsr) -> None:
    made = router.build(fake.ksr, first=False)
    fake.results["sanity.sanity_check_defaults"] = 1
    fake.results["maxfwd.process_maxfwd"] = "boom"  # type: ignore[assignment]
    assert made.ksr_request_route(None) == 1
    assert fake.replies == [(500, "Internal Error")]
    assert len(fake.logs) == 1
    assert "call_id=call-1" in fake.logs[0]
    assert "\n" not in fake.logs[0][:-1]


@pytest.mark.parametrize(
    "callback", ["on_panel_reply", "on_stage_reply", "on_dialog_reply", "on_trunk_reply", "on_emergency_reply"]
)
def test_a_reply_whose_callback_fails_goes_on_and_says_nothing_in_our_name(fake: FakeKsr, callback: str) -> None:
    made = router.build(fake.ksr, first=False)
    fake.message.status = 200
    fake.message.headers = [("x-entryphone-answered-BY", "owner"), ("Subject", "s")]
    fake.results["kx.get_status"] = "boom"  # type: ignore[assignment]
    assert getattr(made, callback)(None) == 1
    assert fake.message.headers == [("Subject", "s")]
    assert not fake.called("set_drop")
    assert f"exception in {callback}; call_id=call-1" in fake.logs[0]


def test_a_reply_to_nothing_that_cannot_be_judged_goes_nowhere(fake: FakeKsr) -> None:
    fake.message.source_ip, fake.message.status = "127.0.1.1", 200
    fake.message.headers = [("CSeq", "7 INVITE\udcff"), ("X-Entryphone-Answered-By", "owner")]
    router.build(fake.ksr, first=False).on_stray_reply(None, "tm:sl-reply")
    assert len(fake.called("set_drop")) == 1


@pytest.mark.parametrize(("call_id", "status"), [("\udcff", 400), ("a\0b", 400)])
def test_a_call_id_that_is_no_text_is_logged_all_the_same(fake: FakeKsr, call_id: str, status: int) -> None:
    fake.message.call_id = call_id
    router.build(fake.ksr, first=False).ksr_request_route(None)
    assert [found for found, _ in fake.replies] == [status]
    assert len(fake.logs) == 1
    assert len(fake.logs[0].splitlines()) == 1
    assert "\0" not in fake.logs[0]


def test_what_fails_after_a_node_has_refused_is_answered_by_the_transaction(fake: FakeKsr) -> None:
    made = router.build(fake.ksr, first=False)
    fake.message.call_id = "\udcff"
    made.on_panel_failure(None)
    assert fake.called("tm.t_reply") == [(500, "Internal Error")]
    assert not fake.called("sl.send_reply")


def test_an_exception_on_an_ack_is_only_logged(fake: FakeKsr) -> None:
    made = router.build(fake.ksr, first=False)
    fake.message.method = "ACK"
    fake.results["maxfwd.process_maxfwd"] = "boom"  # type: ignore[assignment]
    made.ksr_request_route(None)
    assert fake.replies == []
    assert len(fake.logs) == 1


def test_the_first_invite_of_a_panel_is_challenged(fake: FakeKsr) -> None:
    router.build(fake.ksr, first=False).ksr_request_route(None)
    assert fake.replies == [(407, "challenge")]


def test_asterisk_may_only_call_a_stage(fake: FakeKsr) -> None:
    fake.message.source_ip = "127.0.0.21"
    router.build(fake.ksr, first=False).ksr_request_route(None)
    assert fake.replies == [(404, "Not Here")]


@pytest.mark.parametrize("name", ["EP_DOMAIN", "EP_REDIS_URL", "EP_BAR_S"])
def test_a_missing_setting_is_named(fake: FakeKsr, name: str) -> None:
    del fake.defines[name]
    with pytest.raises(ValueError, match=name):
        router.build(fake.ksr, first=False)


@pytest.mark.parametrize(("source", "forced"), [("127.0.1.1", 1), ("127.0.0.21", 0), ("127.0.9.9", 0)])
def test_who_is_no_node_and_no_carrier_is_answered_where_he_sends_from(fake: FakeKsr, source: str, forced: int) -> None:
    fake.tables["trunk_hosts"]["127.0.9.9"] = "carrier-a"
    fake.message.source_ip, fake.message.method = source, "OPTIONS"
    router.build(fake.ksr, first=False).ksr_request_route(None)
    assert len(fake.called("force_rport")) == forced
    assert fake.replies


@pytest.mark.parametrize("fails", [False, True])
def test_the_story_is_shipped_before_its_process_ends(
    fake: FakeKsr, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    done: list[str] = []

    def tick(_shipper: object, _ksr: object) -> None:
        done.append("shipped")
        if fails:
            raise OSError

    monkeypatch.setattr("kemi_routes.streams.StoryShipper.tick", tick)
    monkeypatch.setattr("os._exit", lambda status: done.append(f"ended {status}"))
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    routes = router.build(fake.ksr, first=False)
    try:
        routes.on_story_tick(None)
        assert done == ["shipped"]
        signal.raise_signal(signal.SIGTERM)
        routes.on_story_tick(None)
        assert done == ["shipped", "shipped", "ended 0"]
        assert 0 < signal.alarm(0) <= ending.LONGEST_S
    finally:
        signal.alarm(0)
        for number, handler in usual.items():
            signal.signal(number, handler)
