from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.peers import digest
from lab.peers.digest import Challenge, Credentials

_NONCE_2617 = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
_NONCE_7616 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
_CNONCE_7616 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def test_rfc_2617_section_3_5() -> None:
    challenge = Challenge("testrealm@host.com", _NONCE_2617, qop=("auth", "auth-int"))
    answer = digest.response_hash(
        challenge, Credentials("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", cnonce="0a4f113b"
    )
    assert answer == "6629fae49393a05397450978507c4ef1"


def test_rfc_2069_without_qop() -> None:
    challenge = Challenge("testrealm@host.com", _NONCE_2617)  # RFC 2069 section 2.4 as corrected by erratum 749
    answer = digest.response_hash(
        challenge, Credentials("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", cnonce="unused"
    )
    assert answer == "1949323746fe6a43ef61f9606e7febea"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_section_3_9_1(algorithm: str, expected: str) -> None:
    challenge = Challenge("http-auth@example.org", _NONCE_7616, algorithm, ("auth",))
    answer = digest.response_hash(
        challenge, Credentials("Mufasa", "Circle of Life"), "GET", "/dir/index.html", cnonce=_CNONCE_7616
    )
    assert answer == expected


def test_a_challenge_is_read_whatever_its_order_and_quoting() -> None:
    read = digest.parse_challenge('Digest qop="auth,auth-int", stale=TRUE, nonce="n\\"1", realm="a, b", algorithm=MD5')
    assert read == Challenge("a, b", 'n"1', "MD5", ("auth", "auth-int"), "", stale=True)


@pytest.mark.parametrize("value", ["Basic realm=x", 'Digest realm="x"', 'Digest realm="x", nonce="1", algorithm=MD4'])
def test_a_challenge_that_cannot_be_answered_is_named(value: str) -> None:
    with pytest.raises(digest.NotDigestError):
        digest.parse_challenge(value)


_TEXT = st.text(string.printable.strip() + " äж", max_size=30)


@given(_TEXT, _TEXT, _TEXT, st.sampled_from(["MD5", "SHA-256"]))
def test_the_header_says_what_the_server_needs(user: str, realm: str, password: str, algorithm: str) -> None:
    challenge = Challenge(realm, "abc", algorithm, ("auth",), "opaque")
    credentials = Credentials(user, password)
    pairs = digest.parse_pairs(digest.authorization(challenge, credentials, "REGISTER", "sip:x", cnonce="c1"))
    assert (pairs["username"], pairs["realm"], pairs["opaque"]) == (user, realm, "opaque")
    assert pairs["response"] == digest.response_hash(challenge, credentials, "REGISTER", "sip:x", cnonce="c1")
