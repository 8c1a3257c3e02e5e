"""Calls that a voice API was asked to place (no ORM: the worker and the webhooks are in a hurry)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

TRUNK: Final = "SELECT id, username, secret FROM trunks WHERE name = ? AND kind = 'twilio_voice' AND enabled = ?"
ASKED: Final = """
INSERT INTO voice_calls (token, url_key, trunk_id, call_id, stage, branch, account, number, asked_at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (token) DO NOTHING RETURNING id
"""
_CALL: Final = """
SELECT v.id, v.token, v.call_id, v.asked_at_ms, v.sid, v.ended_at_ms, t.username, t.secret
FROM voice_calls v JOIN trunks t ON t.id = v.trunk_id WHERE
"""
BY_TOKEN: Final = f"{_CALL} v.token = ?"
BY_URL_KEY: Final = f"{_CALL} v.url_key = ?"
PLACED: Final = "UPDATE voice_calls SET sid = ? WHERE id = ? RETURNING ended_at_ms"
ENDED: Final = "UPDATE voice_calls SET ended_at_ms = coalesce(ended_at_ms, ?) WHERE id = ? RETURNING sid"
ANSWERED: Final = "UPDATE voice_calls SET answered_at_ms = ? WHERE id = ? AND answered_at_ms IS NULL RETURNING id"
TOLD: Final = """
INSERT INTO voice_call_events (voice_call_id, status, at_ms) VALUES (?, ?, ?)
ON CONFLICT (voice_call_id, status) DO NOTHING RETURNING status
"""
OVER: Final = "UPDATE voice_calls SET over_at_ms = ?, charged_s = ? WHERE id = ?"
UNCOUNTED: Final = """
SELECT v.id, v.call_id, v.stage, v.account, v.branch, v.over_at_ms, v.charged_s, t.name, t.price_per_minute_micros,
    t.currency, t.billing_increment_s, c.company_id, a.apartment_id
FROM voice_calls v JOIN trunks t ON t.id = v.trunk_id JOIN call_records c ON c.call_id = v.call_id
LEFT JOIN accounts a ON a.account = v.account AND a.company_id = c.company_id
WHERE v.over_at_ms IS NOT NULL AND v.over_at_ms < ? ORDER BY v.over_at_ms LIMIT 200
"""
COUNTED: Final = "UPDATE voice_calls SET over_at_ms = NULL WHERE id = ?"
FORGET: Final = "DELETE FROM voice_calls WHERE asked_at_ms < ?"
END_BEFORE: Final = "INSERT INTO voice_ends (token, at_ms) VALUES (?, ?) ON CONFLICT (token) DO NOTHING"
ENDED_BEFORE: Final = "SELECT at_ms FROM voice_ends WHERE token = ?"
FORGET_ENDS: Final = "DELETE FROM voice_ends WHERE at_ms < ?"


class Uncounted(NamedTuple):
    """A call that the API has charged; its own record is there by now, if the phone has joined the visitor's call."""

    id: int
    call_id: str
    stage: int
    account: str
    branch: int
    over_at_ms: int
    charged_s: int
    trunk: str
    price_per_minute_micros: int
    currency: str
    billing_increment_s: int
    company_id: int | None
    apartment_id: int | None
    """Of the phone."""


class VoiceCall(NamedTuple):
    """A call, and the account of the API that places it; `secret` is the account's token, encrypted."""

    id: int
    token: str
    call_id: str
    asked_at_ms: int
    sid: str | None
    ended_at_ms: int | None
    username: str
    secret: str


def call_of(row: tuple[Any, ...] | None) -> VoiceCall | None:
    """Return the call of a row of `BY_TOKEN` or `BY_URL_KEY`."""
    return None if row is None else VoiceCall._make(row)
