"""What of a request has come, as far as a thread would wait for the rest."""

from __future__ import annotations

import pytest

from crm_api.incoming import LONGEST_HEAD, SHORT_BODY, Come, come, waits_to_go_on

POST = b"POST /v1/login HTTP/1.1\r\nHost: x\r\n"
LENGTH = POST + b"Content-Length: 3\r\n"


@pytest.mark.parametrize(
    ("ahead", "there"),
    [
        (b"", Come.PART_OF_HEAD),
        (POST, Come.PART_OF_HEAD),
        (b"x" * LONGEST_HEAD, Come.WHOLE),
        (POST + b"\r\n", Come.WHOLE),
        (LENGTH + b"\r\n", Come.PART_OF_BODY),
        (LENGTH + b"\r\nab", Come.PART_OF_BODY),
        (LENGTH + b"\r\nabc", Come.WHOLE),
        (LENGTH + b"\r\nabcPOST", Come.WHOLE),
        (LENGTH.lower() + b"\r\nab", Come.PART_OF_BODY),
        (LENGTH + b"CONTENT-LENGTH:9 \r\n\r\nabc", Come.PART_OF_BODY),
        (POST + b"Content-Length: -1\r\n\r\n", Come.WHOLE),
        (POST + b"Content-Length: 0x10\r\n\r\n", Come.WHOLE),
        (POST + b"Content-Length: %d\r\n\r\n" % SHORT_BODY, Come.PART_OF_BODY),
        (POST + b"Content-Length: %d\r\n\r\n" % (SHORT_BODY + 1), Come.LONG),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", Come.LONG),
        (POST + b"\r\nContent-Length: 900000\r\n\r\n", Come.WHOLE),
        (POST + b"X-Content-Length: 900000\r\n\r\n", Come.WHOLE),
    ],
)
def test_a_request_is_there_when_its_short_body_is(ahead: bytes, there: Come) -> None:
    assert come(ahead) is there


def test_whoever_waits_to_send_a_body_has_sent_none_of_it() -> None:
    expects = LENGTH + b"Expect: 100-Continue\r\n\r\n"
    assert waits_to_go_on(expects)
    assert not waits_to_go_on(expects + b"a")
    assert not waits_to_go_on(LENGTH + b"\r\n")
    assert not waits_to_go_on(LENGTH + b"Expect: 100-Continue\r\n")
