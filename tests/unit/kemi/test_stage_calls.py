"""A stage rings every contact, and the story is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import late_ringing, router, settings, stage_calls
from kemi_routes.pipeline import DONE
from tests.unit.kemi.sip_message import Contact, Message
from tests.unit.kemi.steps import RELAY, cancelled_while, events, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def test_a_stage_rings_every_contact_of_every_account(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h1,h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1"), Contact("sip:b@2", "r2")], "h3": [Contact("sip:c@3", "r3")]}
    assert stage_calls.ring_stage(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == ["sip:a@1"]
    assert [c.uri for c in fake.branches] == ["sip:b@2", "sip:c@3"]
    assert fake.message.headers == []
    told = [(e["outcome"], e["account"], e["branch"], e["contact"], e["stage"], e["call_id"]) for e in events(fake)]
    assert told == [
        ("offline", "h1", None, None, 1, "call-1"),
        ("invited", "h2", 0, "sip:a@1", 1, "call-1"),
        ("invited", "h2", 1, "sip:b@2", 1, "call-1"),
        ("invited", "h3", 2, "sip:c@3", 1, "call-1"),
    ]


def test_the_dead_contacts_of_one_account_cost_no_other_its_ring(fake: FakeKsr, request_of: Make) -> None:
    """Kamailio takes the first thirty."""
    stage(fake, "h1,h2,h3,h4")
    many = {name: [Contact(f"sip:{name}@{i}", f"{name}-{i}") for i in range(10)] for name in ("h1", "h2", "h3")}
    fake.location = {**many, "h4": [Contact("sip:h4@1", "r4")]}
    fake.location["h2"][9].expires = 1
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert fake.relayed == ["sip:h4@1"]
    assert [contact.ruid[:2] for contact in fake.branches][::10] == ["h2", "h1", "h3"]
    assert fake.fetched == []


def test_a_contact_that_nothing_can_be_sent_to_silences_nobody(fake: FakeKsr, request_of: Make) -> None:
    """As an earlier version has let it in; the others of its account are the stage's only once."""
    stage(fake, "h1,h2,h3")
    bad = [Contact(uri, uri) for uri in ("mailto:a@b.c", "sip:a@h^ost")]
    fake.location = {"h1": bad[:1], "h2": [*bad, Contact("sip:a@1", "r1"), Contact("sip:b@2", "r2")]}
    assert stage_calls.ring_stage(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == ["sip:a@1"]
    assert [c.uri for c in fake.branches] == ["sip:b@2"]
    assert [(e["outcome"], e["account"]) for e in events(fake)] == [
        ("offline", "h1"),
        ("offline", "h3"),
        ("invited", "h2"),
        ("invited", "h2"),
    ]
    assert [line.partition("contact=")[2] for line in fake.logs] == ["'mailto:a@b.c'\n"] * 2 + ["'sip:a@h^ost'\n"]


def test_a_contact_that_cannot_be_taken_away_keeps_no_worker(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h1")
    fake.location = {"h1": [Contact("sip:", "r1")]}
    fake.results["registrar.unregister_ruid"] = -1
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "Nobody Registered")]


def test_a_stage_that_rings_a_panel_takes_it(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "p7")
    fake.tables["emergency_places"]["p7"] = "[]"
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    told = events(fake)
    assert [event["event"] for event in told] == ["panel_called", "branch"]
    assert (told[0]["panel"], told[0]["call_id"]) == ("p7", "call-1")


def test_a_stage_that_rings_a_panel_ends_the_probe_that_it_is_in(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "p7")
    fake.tables["emergency_places"]["p7"] = "[]"
    fake.tables["probes"]["p7"] = "127.0.0.23:5060 7"
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert [told[1] for told in fake.called("tm.t_uac_send")] == ["sip:end-probe@127.0.0.23:5060"]


def test_nobody_registered_is_480_at_once(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h1")
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "Nobody Registered")]
    assert [e["outcome"] for e in events(fake)] == ["offline"]


@pytest.mark.parametrize("accounts", ["h2", "h2,~a1", "~a1"])
def test_a_stage_that_is_cancelled_before_it_rings_waits_for_nobody_and_nobody_failed(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch, accounts: str
) -> None:
    stage(fake, accounts)
    fake.location = {"h2": [Contact("sip:a@1", "r1")]}
    cancelled_while(monkeypatch, RELAY if "h2" in accounts else "tm.t_newtran", -1 if "h2" in accounts else 1)
    assert stage_calls.ring_stage(fake.ksr, request_of(fake)) is DONE
    outcomes = [event["outcome"] for event in events(fake) if event["account"] == "h2"]
    assert outcomes == (["invited", "cancelled"] if "h2" in accounts else [])
    assert fake.replies == [(487, "Request Terminated")]
    assert fake.called("tmx.t_suspend") == []
    assert not any(fake.tables[name] for name in ("setup", "wake", "wake_legs"))
    assert fake.logs == []


def _contacts(account: str, count: int, expires: int = 0) -> list[Contact]:
    return [Contact(f"sip:{account}@10.0.0.{index}", f"{account}-{index}", expires=expires) for index in range(count)]


@pytest.mark.parametrize(("of_the_first", "order"), [(8, "h1 h2 h3 h4 h5"), (9, "h4 h5 h1 h2 h3")])
def test_who_has_many_contacts_comes_last_when_there_is_no_room_for_all(
    fake: FakeKsr, request_of: Make, of_the_first: int, order: str
) -> None:
    """30 are rung at most. While there is room for all, little is asked."""
    stage(fake, "h1,h2,h3,h4,h5")
    counts = {"h1": of_the_first, "h2": 10, "h3": 10, "h4": 1, "h5": 1}
    fake.location = {account: _contacts(account, count) for account, count in counts.items()}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert " ".join(dict.fromkeys(str(event["account"]) for event in events(fake))) == order
    words = [name for (name,) in fake.called("pv.get") if "ulc(" in str(name)]
    assert (words == ["$ulc(full=>count)"] * len(counts)) is (of_the_first == 8)


def test_contacts_that_are_not_valid_any_more_put_nobody_last(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h1,h2,h3,h4")
    fake.location = {account: _contacts(account, 9) for account in ("h1", "h2", "h3")}
    fake.location["h4"] = [*_contacts("h4", 9, expires=1), *_contacts("h4", 1)]
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert str(fake.called("registrar.lookup_uri")[0][1]).startswith("sip:h4@")


@pytest.mark.parametrize("header", ["", "h1,,h2", "h1;drop", ",".join(f"h{i}" for i in range(31))])
def test_bad_accounts_are_400(fake: FakeKsr, request_of: Make, header: str) -> None:
    stage(fake, header)
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert fake.replies == [(400, "Bad Stage")]


def test_the_answer_tells_who_and_cannot_be_forged(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r13")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    fake.message.status = 200
    fake.message.headers = [("X-Entryphone-Answered-By", "h2")]
    fake.pvs["$T_reply_ruid"] = "r13"
    stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    assert fake.message.headers == [("X-Entryphone-Answered-By", "h3")]
    told = [(event["outcome"], event["account"]) for event in events(fake)[2:]]
    assert told == [("answered", "h3"), ("cancelled", "h2")]
    stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))  # the same 200 once more
    assert len(events(fake)) == 4
    assert not fake.tables["setup"]


@pytest.mark.parametrize("bad", ["\udccf", "\0"])
def test_an_address_that_is_no_text_makes_way_for_where_the_phone_is(fake: FakeKsr, request_of: Make, bad: str) -> None:
    stage(fake, "h2")
    fake.location = {"h2": [Contact("sip:a@1", "r1")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    fake.message = Message(status=200, call_id="leg-1", headers=[("Contact", f"<sip:{bad}@127.0.1.1>")])
    fake.pvs["$T_reply_ruid"] = "r1"
    stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    assert fake.message.headers[0] == ("Contact", "<sip:127.0.1.1:5060;alias=127.0.1.1~5060~1>")


@pytest.mark.parametrize("where", ["To", "Contact", "body"])
@pytest.mark.parametrize("bad", ["\udccf", "\0"])
def test_what_is_no_text_in_an_answer_changes_nothing(fake: FakeKsr, request_of: Make, where: str, bad: str) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r2")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    made = router.build(fake.ksr, first=False)
    for ruid, source_ip in (("r1", "127.0.2.1"), ("r2", "127.0.2.2")):
        fake.message = Message(status=200, call_id="leg-1", source_ip=source_ip, body="v=0")
        fake.message.headers = [("From", "<sip:p1@e>;tag=a"), ("X-Entryphone-Answered-By", "owner")]
        for name, value in (("To", f"<sip:stage@e>;tag={ruid}"), ("Contact", f"<sip:{ruid}@{source_ip}>")):
            fake.message.headers.append((name, f'"{bad}" {value}' if where == name else value))
        fake.message.body += bad if where == "body" else ""
        fake.pvs["$T_reply_ruid"] = ruid
        made.on_stage_reply(None)
        assert [v for k, v in fake.message.headers if k == "X-Entryphone-Answered-By"] == ["h2"]
    assert [event["outcome"] for event in events(fake)[2:]] == ["answered", "cancelled"]
    assert not fake.tables["setup"]
    (told, *_) = fake.called("tm.t_uac_send")
    assert told[:2] == ("BYE", "sip:r2@127.0.2.2"), "the second is hung up"
    (body, _), *_ = fake.called("textops.set_body")
    assert str(body).startswith("v=0")
    assert dict(fake.message.headers)["To"].endswith("<sip:stage@e>;tag=r1")
    assert fake.logs == []


def test_an_address_of_a_contact_that_is_no_text_hides_no_other(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3,h4,h5")
    fake.location = {name: [Contact(f"sip:{name}@1", f"r-{name}")] for name in ("h2", "h3", "h4")}
    fake.location["h3"].append(Contact("sip:\udcff@1", "r-bad", instance="\udcff"))
    assert stage_calls.ring_stage(fake.ksr, request_of(fake)) is DONE
    assert [event["account"] for event in events(fake) if event["outcome"] == "invited"] == ["h2", "h3", "h3", "h4"]
    assert fake.relayed


def test_who_answers_second_is_acknowledged_and_hung_up(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r2")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    fake.message.status = 200
    fake.message.headers = [
        ("From", "<sip:p1@e>;tag=a"),
        ("To", "<sip:stage@e>;tag=b"),
        ("Contact", "<sip:c@10.1.1.3>"),
    ]
    fake.message.body = "v=0 of the first"
    for ruid in ("r1", "r1", "r2", "r2"):  # a 200 is repeated until the ACK has come
        if ruid == "r2":
            fake.message.headers = [("From", "<sip:p1@e>;tag=a"), ("To", "<sip:stage@e>;tag=c")]
            fake.message.headers.append(("Contact", "<sip:c@10.1.1.4>"))
            fake.message.body = "v=0 of the second"
        fake.pvs["$T_reply_ruid"] = ruid
        stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    (phone, ack), again = (tuple(map(str, sent)) for sent in fake.called("corex.send_data"))
    assert phone == again[0] == f"sip:{fake.message.source_ip}:{fake.message.source_port};transport=udp"
    number = fake.message.cseq
    assert ack.startswith("ACK sip:c@10.1.1.4 SIP/2.0\r\nVia: SIP/2.0/UDP ")
    for line in ("From: <sip:p1@e>;tag=a", "To: <sip:stage@e>;tag=c", f"CSeq: {number} ACK"):
        assert f"\r\n{line}\r\n" in ack
    bye, _ = (tuple(map(str, sent)) for sent in fake.called("tm.t_uac_send"))
    assert bye[:3] == ("BYE", "sip:c@10.1.1.4", phone)
    assert f"CSeq: {int(number) + 1} BYE\r\n" in bye[4]
    assert [event["outcome"] for event in events(fake)[2:]] == ["answered", "cancelled"]
    told = dict(fake.message.headers)
    assert told["To"] == "<sip:stage@e>;tag=b"
    assert fake.called("textops.set_body") == [("v=0 of the first", "application/sdp")] * 2
    where = f"{fake.message.source_ip}~{fake.message.source_port}~1"
    assert told["Contact"] == f"<sip:c@10.1.1.3;alias={where}>"
    assert told["X-Entryphone-Answered-By"] == "h2"


def test_who_was_busy_is_not_told_as_cancelled(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r2")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    for ruid, status in (("r1", 486), ("r2", 200)):
        fake.message.status = status
        fake.pvs["$T_reply_ruid"] = ruid
        stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    assert [event["outcome"] for event in events(fake)[2:]] == ["busy", "answered"]


def test_a_phone_that_rings_after_another_answered_tells_nothing(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r2")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    for ruid, status, source_ip in (("r1", 180, "127.0.2.1"), ("r1", 200, "127.0.2.1"), ("r2", 180, "127.0.2.2")):
        fake.message.status, fake.message.source_ip, fake.message.to_user = status, source_ip, "stage"
        fake.pvs["$T_reply_ruid"] = ruid
        if late_ringing.is_ringing(fake.ksr):
            late_ringing.keep(fake.ksr, request_of(fake).settings)
        stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    assert [event["outcome"] for event in events(fake)[2:]] == ["ringing", "answered", "cancelled"]
    assert list(fake.tables["ringing"]) == ["leg-1 127.0.2.2 5060"]


def test_asterisk_hears_once_that_a_stage_rings(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3,h4,h5")
    fake.location = {name: [Contact(f"sip:{name}@1", f"r-{name}")] for name in ("h2", "h3", "h4", "h5")}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    heard = []
    for name, status, body in (
        ("h2", 180, ""),
        ("h3", 180, ""),
        ("h4", 180, "v=0"),
        ("h5", 183, "v=0"),
        ("h2", 200, ""),
    ):
        fake.message.status, fake.message.body = status, body
        fake.pvs["$T_reply_ruid"] = f"r-{name}"
        stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
        heard.append(fake.message.status)
    assert heard == [180, 100, 180, 183, 200]
    told = [(event["account"], event["outcome"], event["sip_status"]) for event in events(fake) if event["sip_status"]]
    assert told[:4] == [("h2", "ringing", 180), ("h3", "ringing", 180), ("h4", "ringing", 180), ("h5", "ringing", 183)]


def test_only_ringing_of_devices_is_kept(fake: FakeKsr) -> None:
    made = router.build(fake.ksr, first=False)
    us = fake.defines["EP_SIP_ADDRESS"]
    for status, source_ip, to_user, kept in (
        (100, "127.0.2.1", "stage", 0),
        (200, "127.0.2.1", "stage", 0),
        (180, us, "stage", 0),
        (180, "127.0.0.21", "12", 0),
        (180, "127.0.2.1", "probe", 0),
        (183, "127.0.2.1", "stage", 1),
    ):
        fake.message = Message(status=status, source_ip=source_ip, call_id="leg-1", to_user=to_user)
        made.ksr_reply_route(None)
        assert len(fake.tables["ringing"]) == kept


@pytest.mark.parametrize(("status", "replies"), [(302, [(480, "Redirections Are Not Followed")]), (486, []), (603, [])])
def test_a_device_that_sends_the_call_elsewhere_is_not_there(
    fake: FakeKsr, request_of: Make, status: int, replies: list[tuple[int, str]]
) -> None:
    """Asterisk would follow it into its dialplan in the panel's name."""
    stage(fake, "h1")
    fake.location = {"h1": [Contact("sip:a@1", "r1")]}
    request = request_of(fake)
    stage_calls.ring_stage(fake.ksr, request)
    fake.message.status = status
    stage_calls.on_failure(fake.ksr, request.settings)
    assert fake.replies == replies
