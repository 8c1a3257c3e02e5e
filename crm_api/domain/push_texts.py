"""What an iPhone shows of a push by itself, when no code of its app runs: an alert in the company's language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSIDE: Final = "call from inside"
_SAID: Final[dict[str, dict[str, str]]] = {
    "call": {"en": "Somebody is at the door", "ru": "Звонок в дверь", "zh": "有人按门铃"},
    _INSIDE: {"en": "Calls you", "ru": "Звонит вам", "zh": "来电"},
    "message": {"en": "A visitor left a message", "ru": "Посетитель оставил сообщение", "zh": "访客留言"},
    "emergency_call": {"en": "A call to 112", "ru": "Вызов 112", "zh": "112 紧急呼叫"},
}


class Alert(NamedTuple):
    """Two lines; a title may be empty, a body is not."""

    title: str
    body: str


def alert_of(data: Mapping[str, str], language: str, *, from_panel: bool = True) -> Alert | None:
    """Return what is shown of a push of this `data`; None: nothing, it is for the app alone (a call is over).

    `from_panel`: else a desk or a neighbour calls.
    """
    kind = data.get("type", "")
    if kind == "call" and not from_panel:
        kind = _INSIDE
    if kind == "access_code":
        return Alert("", data["text"])
    said = _SAID.get(kind)
    if said is None:
        return None
    place = data.get("caller_name") or ", ".join(filter(None, (data.get("panel"), data.get("house"))))
    return Alert(place, said.get(language.partition("-")[0], said["en"]))
