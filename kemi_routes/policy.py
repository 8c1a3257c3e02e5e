"""Who may register and who may call what: the one table of it."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kemi_routes.settings import Settings

PANEL = "panel"
# Account and kind of a device that has none (EP_STRANGERS_PER_MINUTE).
STRANGER = "stranger"


class Reach(Enum):
    """What accounts of a kind may call."""

    NUMBERS = "apartments, concierges and emergency numbers"
    INSIDE = "concierges, neighbours and panels: which of them, the CRM decides"
    NOTHING = "nothing"


REACH = {
    PANEL: Reach.NUMBERS,
    "handset": Reach.INSIDE,
    "indoor_unit": Reach.INSIDE,
    "app": Reach.INSIDE,
    "home_gateway": Reach.INSIDE,
    "phone": Reach.NOTHING,
    "concierge": Reach.INSIDE,
    "trunk": Reach.NOTHING,
}

MAY_REGISTER = frozenset(REACH) - {"phone", "trunk"}

# Keys of a panel; `*` and `#` may come escaped (RFC 3261, 19.1.2).
_NUMBER = re.compile(r"\+?(?:[0-9*#]|%2[aA3]){1,32}", re.ASCII)


# An apartment of the house (or as it is dialled at the gate), or the account of a panel. No single letter: `h`, `i`,
# `s` and `t` are extensions of Asterisk's own; nor what Asterisk itself calls.
_INSIDE = re.compile(r"[0-9](?:[0-9*#]|%2[aA3]){0,15}|[A-Za-z0-9][A-Za-z0-9._+-]{1,31}", re.ASCII)
_OURS = frozenset(("stage", "call-back", "end-talk", "end-probe", "voice", "node-started"))
# `*` and digits: an access code typed at a panel. It goes into no log and no story.
_CODE = re.compile(r"(?:\*|%2[aA]).*", re.DOTALL)
CODE_TYPED = "access_code"


def told(number: str) -> str:
    """What logs and stories tell of a dialled number: the number, but never an access code."""
    return CODE_TYPED if _CODE.fullmatch(number) else number


def may_call(kind: str, number: str, settings: Settings) -> bool:
    """Tell whether an account of this kind may call this number."""
    reach = REACH.get(kind, Reach.NOTHING)
    if reach is Reach.NOTHING:
        return False
    if number in settings.concierge_numbers:
        return True
    if reach is Reach.NUMBERS:
        return _NUMBER.fullmatch(number) is not None
    return number not in settings.emergency_numbers and number not in _OURS and _INSIDE.fullmatch(number) is not None
