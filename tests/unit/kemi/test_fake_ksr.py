"""The fake is as strict as it promises."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from tests.unit.kemi.fake_ksr import FakeKsr, NoSuchFunctionError, ReadOnlyError
from tests.unit.kemi.fake_rows import NotModelledError
from tests.unit.kemi.ksr_signatures import signatures
from tests.unit.kemi.sip_message import Contact, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from KSR import Ksr


def test_signatures_come_from_the_stub() -> None:
    assert signatures()["sl.send_reply"] == (int, str)
    assert signatures()["err"] == (str,)
    assert len(signatures()) > 400


@pytest.mark.parametrize("path", ["tmx.t_check_trans", "nomodule.x", "t_relay", "tm.relay"])
def test_an_unknown_function_raises(path: str) -> None:
    with pytest.raises(NoSuchFunctionError):
        attrgetter(path)(FakeKsr())


def test_wrong_types_and_counts_raise() -> None:
    fake = FakeKsr()
    with pytest.raises(TypeError, match="wants int"):
        fake.ksr.sl.send_reply("200", "OK")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes 2"):
        fake.ksr.sl.send_reply(200)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="wants int, got True"):
        fake.ksr.sl.send_reply(True, "OK")
    assert fake.replies == []


def test_a_function_without_a_model_raises() -> None:
    with pytest.raises(NotModelledError):
        FakeKsr().ksr.tm.t_drop_replies_all()


def test_request_uri_user_and_domain_are_one() -> None:
    fake = FakeKsr(Message(ruri="sip:12@a.example"))
    fake.ksr.pv.sets("$rU", "13")
    assert fake.ksr.pv.get("$ru") == "sip:13@a.example"
    fake.ksr.pv.sets("$rd", "b.example")
    assert fake.ksr.kx.get_ruri() == "sip:13@b.example"
    fake.ksr.pv.sets("$ru", "sip:14@c.example")
    assert fake.ksr.pv.get("$rU") == "14"


@pytest.mark.parametrize("name", ["$ci", "$rm", "$branch(count)", "$shtitkey(it)"])
def test_read_only_variables_cannot_be_written(name: str) -> None:
    with pytest.raises(ReadOnlyError):
        FakeKsr().ksr.pv.sets(name, "x")


def test_an_unknown_variable_raises() -> None:
    with pytest.raises(NotModelledError):
        FakeKsr().ksr.pv.get("$typo")


def test_an_ack_cannot_be_answered() -> None:
    with pytest.raises(AssertionError, match="never answered"):
        FakeKsr(Message(method="ACK")).ksr.sl.send_reply(200, "OK")


def test_tables_count_and_forget() -> None:
    ksr = FakeKsr().ksr
    assert ksr.htable.sht_get("t", "k") is None
    assert [ksr.htable.sht_inc("t", "k"), ksr.htable.sht_inc("t", "k"), ksr.htable.sht_dec("t", "k")] == [1, 2, 1]
    ksr.htable.sht_rm("t", "k")
    assert ksr.htable.sht_get("t", "k") is None
    ksr.htable.sht_sets("t", "k", "text")
    assert ksr.htable.sht_inc("t", "k") == -255


def test_queues_are_first_in_first_out() -> None:
    ksr = FakeKsr().ksr
    ksr.mqueue.mq_add("q", "a", "1")
    ksr.mqueue.mq_add("q", "b", "2")
    assert ksr.mqueue.mq_fetch("q") > 0
    assert (ksr.mqueue.mqk_get("q"), ksr.mqueue.mqv_get("q")) == ("a", "1")
    assert ksr.mqueue.mq_fetch("q") > 0
    assert ksr.mqueue.mq_fetch("q") < 0
    with pytest.raises(AssertionError):
        ksr.mqueue.mqk_get("q")


def test_the_first_contact_becomes_the_request_uri_and_others_branches() -> None:
    fake = FakeKsr()
    fake.location = {"h1": [Contact("sip:a@1", "r1"), Contact("sip:b@2", "r2")]}
    assert fake.ksr.registrar.lookup_uri("location", "sip:h1@entryphone.test") > 0
    assert fake.ksr.pv.get("$ru") == "sip:a@1"
    assert fake.ksr.pv.get("$(branch(uri)[0])") == "sip:b@2"
    assert fake.ksr.registrar.lookup_to_dset("location", "sip:h2@entryphone.test") < 0


@pytest.mark.parametrize(
    "read",
    [
        lambda ksr: ksr.pv.get("$rb"),
        lambda ksr: ksr.pv.get("$mb"),
        lambda ksr: ksr.pv.get("$hdr(To)"),
        lambda ksr: ksr.hdr.gete("To"),
        lambda ksr: ksr.hdr.get_idx("To", 0),
        lambda ksr: ksr.kx.get_msgbuf(),
        lambda ksr: ksr.kx.get_callid(),
        lambda ksr: ksr.kx.gete_ruser(),
    ],
)
def test_bytes_that_are_not_utf_8_cannot_be_read(read: Callable[[Ksr], object]) -> None:
    """apy_kemi.c makes a `str` of them by PyUnicode_FromStringAndSize."""
    bad = "\udcff"
    fake = FakeKsr(Message(ruri=f"sip:{bad}@b", call_id=bad, headers=[("To", bad), ("B", "ж")], body=bad))
    with pytest.raises(UnicodeDecodeError):
        read(fake.ksr)
    assert fake.ksr.hdr.gete("B") == "ж"
    assert fake.ksr.pv.get("$(rb{s.encode.hexa})") == "ff"


@pytest.mark.parametrize("text", ["a\0", "\udcff"])
def test_nothing_is_given_that_is_no_text_of_c(text: str) -> None:
    with pytest.raises(ValueError, match=r"null character|surrogates"):
        FakeKsr().ksr.htable.sht_sets("t", "k", text)


def test_headers_are_removed_whatever_their_case() -> None:
    fake = FakeKsr(Message(headers=[("x-a", "1"), ("X-A", "2"), ("B", "3")]))
    fake.ksr.hdr.remove("X-A")
    assert fake.message.headers == [("B", "3")]
    with pytest.raises(ValueError, match="CR LF"):
        fake.ksr.hdr.append("C: 4")
