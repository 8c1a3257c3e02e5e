from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from lab.bench import scenarios
from lab.bench.sipp import counters_of

ALL = {
    "panel": scenarios.panel(digest=True),
    "panel without digest": scenarios.panel(digest=False),
    "panel in overload": scenarios.panel(digest=True, refusable=True),
    "emergency": scenarios.emergency(),
    "answerer": scenarios.answerer(),
    "ringer": scenarios.ringer(),
    "register": scenarios.register(digest=True),
    "register without digest": scenarios.register(digest=False),
}
NUMBERED = {"send", "recv", "nop", "pause"}


def _messages(text: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(text) if element.tag in NUMBERED]  # noqa: S314 - our own text


@pytest.mark.parametrize("text", ALL.values(), ids=ALL.keys())
def test_every_jump_has_its_label(text: str) -> None:
    root = ET.fromstring(text)  # noqa: S314 - our own text
    labels = {element.get("id") for element in root.iter("label")}
    jumps = {element.get("next") for element in root.iter() if element.get("next")}
    assert jumps <= labels


@pytest.mark.parametrize("text", ALL.values(), ids=ALL.keys())
def test_the_ack_of_a_refusal_carries_the_branch_of_an_invite(text: str) -> None:
    messages = _messages(text)
    for index, message in enumerate(messages):
        found = re.search(r"^ACK .*?\[branch-(\d+)\].*?CSeq: (\d+) ACK", message.text or "", re.DOTALL | re.MULTILINE)
        if found:
            invite = messages[index - int(found[1])].text or ""
            assert invite.lstrip().startswith("INVITE ")
            assert f"CSeq: {found[2]} INVITE" in invite


def test_only_the_panel_with_digest_sends_credentials() -> None:
    assert "[authentication" in ALL["panel"]
    assert "[authentication" not in ALL["panel without digest"]


def test_counters() -> None:
    assert counters_of(ALL["panel in overload"]) == ("completed", "refused", "with_retry_after")
    assert counters_of(ALL["ringer"]) == ("rung", "cancelled")
    assert counters_of(ALL["answerer"]) == ("rung", "key", "answered")
