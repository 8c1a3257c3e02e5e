from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.peers import message

_TOKEN = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=20)
_VALUE = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Zs"), blacklist_characters="\x85"), max_size=40
)


@given(
    st.lists(
        st.tuples(_TOKEN.filter(lambda name: message.canonical_name(name) != "content-length"), _VALUE), max_size=12
    ),
    st.binary(max_size=200),
)
def test_what_was_written_is_read_back(headers: list[tuple[str, str]], body: bytes) -> None:
    written = message.SipMessage("INVITE sip:12@entryphone.test SIP/2.0", list(headers), body)
    read = message.parse(written.encode())
    assert read.start_line == written.start_line
    assert read.headers == [*headers, ("Content-Length", str(len(body)))]
    assert read.body == body


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_named_as_none(data: bytes) -> None:
    try:
        message.parse(data)
    except message.NotSipError as error:
        assert str(error)  # noqa: PT017 - both outcomes are right; the failure must have a sentence


def test_compact_names_and_folded_lines() -> None:
    read = message.parse(
        b"SIP/2.0 180 Ringing\r\ni: abc\r\nv: SIP/2.0/UDP h\r\n ;branch=z9hG4bK1\r\nCSeq: 7 INVITE\r\n\r\n"
    )
    assert (read.status, read.method, read.cseq) == (180, "INVITE", 7)
    assert read.get("Call-ID") == "abc"
    assert read.branch == "z9hG4bK1"


@pytest.mark.parametrize(
    ("value", "uri", "tag"),
    [
        ("<sip:12@a>;tag=x1", "sip:12@a", "x1"),
        ("sip:12@a;tag=x1", "sip:12@a", "x1"),
        ('"a <b>;tag=no" <sip:12@a;transport=udp>;tag=x1', "sip:12@a;transport=udp", "x1"),
        ('"\\"<" <sip:1@a>;tag=x1', "sip:1@a", "x1"),
        ("<sip:12@a;tag=inner>", "sip:12@a;tag=inner", ""),
    ],
)
def test_uri_and_tag_are_found_behind_any_display_name(value: str, uri: str, tag: str) -> None:
    assert message.uri_of(value) == uri
    assert message.parameter(value, "tag") == tag


def test_commas_in_quotes_and_uris_do_not_separate() -> None:
    assert message.split_list('"a, b" <sip:a@x;p=1,2>, <sip:b@x>') == ['"a, b" <sip:a@x;p=1,2>', "<sip:b@x>"]
