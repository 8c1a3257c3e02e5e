"""What no step may let through, and what is answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import checks
from kemi_routes.pipeline import DONE, NEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def test_too_long_is_513(fake: FakeKsr, request_of: Make) -> None:
    fake.message.length = 16385
    assert checks.check_size(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(513, "Message Too Large")]
    assert "call_id=call-1" in fake.logs[0]


def test_as_long_as_allowed_passes(fake: FakeKsr, request_of: Make) -> None:
    fake.message.length = 16384
    assert checks.check_size(fake.ksr, request_of(fake)) is NEXT


@pytest.mark.parametrize(
    ("failed", "fault"), [(32, "CSeq of another method"), (8192, "credentials"), (1 << 14, "no more is known")]
)
def test_malformed_is_answered_by_the_sanity_module_and_named(
    fake: FakeKsr, request_of: Make, failed: int, fault: str
) -> None:
    fake.message.malformed = failed
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert fake.called("sanity.sanity_reply")
    assert f"malformed, {fault};" in fake.logs[0]


def test_used_up_hops_are_483(fake: FakeKsr, request_of: Make) -> None:
    fake.message.max_forwards = 0
    assert checks.check_hops(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(483, "Too Many Hops")]


def test_foreign_private_headers_are_stripped(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("x-entryphone-KIND", "panel"), ("X-Entryphone-Future", "1"), ("Subject", "s")]
    checks.strip_foreign_headers(fake.ksr, request_of(fake))
    assert fake.message.headers == [("Subject", "s")]


def test_text_that_cannot_be_read_is_stripped_all_the_same(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("X-Entryphone-Kind", "panel"), ("Subject", "\udcff")]
    checks.strip_foreign_headers(fake.ksr, request_of(fake))
    assert fake.message.headers == [("Subject", "\udcff")]


def test_headers_of_asterisk_stay(fake: FakeKsr, request_of: Make) -> None:
    fake.message.source_ip = "127.0.0.21"
    fake.message.headers = [("X-Entryphone-Stage", "0")]
    checks.strip_foreign_headers(fake.ksr, request_of(fake))
    assert fake.message.headers == [("X-Entryphone-Stage", "0")]


def test_another_domain_is_404(fake: FakeKsr, request_of: Make) -> None:
    fake.message.ruri = "sip:12@example.com"
    assert checks.check_destination(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(404, "Not Here")]


@pytest.mark.parametrize("method", ["SUBSCRIBE", "MESSAGE", "NOTIFY", "INFO", "UPDATE", "PRACK"])
def test_unserved_methods_are_405_with_allow(fake: FakeKsr, request_of: Make, method: str) -> None:
    fake.message.method = method
    assert checks.check_method(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(405, "Method Not Allowed")]
    assert fake.reply_headers[0].startswith("Allow: INVITE")
    assert method not in fake.reply_headers[0]


def test_options_is_200(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "OPTIONS"
    checks.check_method(fake.ksr, request_of(fake))
    assert fake.replies == [(200, "OK")]
