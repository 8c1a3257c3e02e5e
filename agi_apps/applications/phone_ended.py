"""`phone_ended`: a phone that had answered is free again; how long it was, on which trunk, goes to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import NOTHING, Application, Outputs, number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

_WORDS = 3


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Record a phone's leg.

    Raises:
        ValueError: the stage, the branch or the moment is no number, or the proxy has not told who answered.
    """
    call_id, panel, dialled, stage, told, answered_at_ms, confirmed, cause = arguments
    words = told.split(" ")
    if len(words) != _WORDS:
        raise ValueError(f"X-Entryphone-Trunk of the answer is {told!r}: it takes branch, account and trunk")
    branch, account, trunk = words
    at_ms = services.now_ms()
    word, _, pressed_at_ms = confirmed.partition(" ")
    services.events.add({
        "event": "phone", "call_id": call_id, "at_ms": at_ms, "panel": panel, "dialled": dialled,
        "stage": int(stage), "branch": int(branch), "account": account, "trunk": trunk,
        "phone_ms": max(0, at_ms - int(answered_at_ms)), "confirmed": word or None,
        "connected_ms": max(0, at_ms - int(pressed_at_ms)) if pressed_at_ms else None,
        "cause": number_of(cause) or None,
    })  # fmt: skip
    return NOTHING


APPLICATION = Application(
    name="phone_ended",
    arguments=(
        "EP_CALL_ID",
        "EP_PANEL",
        "EP_DIALLED",
        "EP_STAGE",
        "X-Entryphone-Trunk",
        "EP_ANSWERED_AT_MS",
        "EP_CONFIRMED",
        "HANGUPCAUSE",
    ),
    run=run,
    deadline_s=2.0,
    added=1,
)
