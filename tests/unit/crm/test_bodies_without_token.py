"""Whoever shows no token is not listened to for long: his body is short, and has a length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.incoming import SHORT_BODY
from tests.unit.crm.conftest import must_be_as_declared

if TYPE_CHECKING:
    from tests.unit.crm.conftest import Town

OPEN_TO_ALL = ("/v1/login", "/v1/twilio/voice-answers/a0b1", "/v1/twilio/voice-events/a0b1")


@pytest.mark.parametrize("path", OPEN_TO_ALL)
@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Content-Length": str(SHORT_BODY + 1)}, 413, "too-large"),
        ({"Content-Length": "900000"}, 413, "too-large"),
        ({"Transfer-Encoding": "chunked"}, 411, "length-required"),
    ],
)
def test_a_body_that_is_long_or_of_no_length_is_refused_before_it_is_read(
    town: Town, path: str, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = town.client.simulate_post(path, headers=headers)  # nothing of it has come: to read it would tell so
    assert (answer.status_code, answer.json["type"]) == (status, f"urn:entryphone:problem:{kind}")
    must_be_as_declared(town.client, "POST", path, answer)


def test_with_a_token_a_long_body_may_come_in_chunks(town: Town) -> None:
    headers = {**town.platform._headers, "Transfer-Encoding": "chunked"}
    body = b'{"name": "Second"' + b" " * (2 * SHORT_BODY) + b"}"
    assert town.client.simulate_post("/v1/companies", headers=headers, body=body).status_code == 201
