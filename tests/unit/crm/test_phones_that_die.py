"""Why a call ended whose telephone sent no sound any more: what is told of the phone knows, and comes in any order."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.call_recording import CallRecording

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Town

T = 1_790_000_000_000
_DIALLED = {"event": "dialled", "call_id": "c1", "at_ms": T, "panel": "p1", "dialled": "12"}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize(
    ("of_phone", "moves", "ended"),
    [
        ({}, 0, ("no media for 30 s", 44)),
        ({"confirmed": "yes"}, 0, ("no media for 30 s", 44)),
        ({"confirmed": "no"}, 0, (None, 16)),
        ({"cause": 16}, 0, (None, 16)),
        ({}, 1, (None, 16)),
    ],
    ids=["talked", "had pressed its key", "was a machine", "hung up", "was of a node that the call has left"],
)
def test_a_phone_that_died_is_why_its_call_ended_in_any_order_and_batches(  # noqa: PLR0917 - what differs
    town: Town, context: Context, of_phone: dict[str, Any], moves: int, ended: tuple[str | None, int],
    order: tuple[int, ...], at_once: bool,
) -> None:  # fmt: skip
    """Whoever tells the end of the call knows only that the phone's leg is over."""
    phone = {
        "event": "phone", "call_id": "c1", "at_ms": T + 38_000, "stage": 0, "branch": 0, "account": "f12",
        "trunk": "carrier-a", "phone_ms": 37_000, "cause": 44,
    }  # fmt: skip
    end = {
        "event": "ended", "call_id": "c1", "at_ms": T + 38_001, "panel": "p1", "dialled": "12", "result": "answered",
        "cause": 16, "talk_ms": 36_900, "moves": moves,
    }  # fmt: skip
    moved = {"event": "moved", "call_id": "c1", "at_ms": T + 1, "panel": "p1", "dialled": "12", "moves": moves}
    recording = CallRecording(context)
    words = [phone | of_phone, end, moved if moves else _DIALLED]
    words = [words[index] for index in order]
    for batch in [words] if at_once else [[word] for word in words]:
        recording.record([("1-0", json.dumps(batch).encode())])
    (row,) = town.platform("GET", "/v1/calls")["items"]
    assert (row["result"], row["reason"], row["cause"]) == ("answered", *ended)
