"""Which call a panel is in, and on which node, from its ringing to its end: so that it can give way to a call back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kemi_routes.table_rows import locked

if TYPE_CHECKING:
    from KSR import Ksr

_TALKS = "talks"


class Talk(NamedTuple):
    """A call of a panel, or through it: `host:port` of its node, Call-ID of the leg of who calls."""

    node: str
    call_id: str


def begins(ksr: Ksr, panel: str, talk: Talk) -> None:
    """Remember the call of a panel: it rings somebody, or has been answered."""
    ksr.htable.sht_sets(_TALKS, panel, f"{talk.node} {talk.call_id}")


def of(ksr: Ksr, panel: str) -> Talk | None:
    """Return the call that a panel is in; None when it neither talks nor rings anybody."""
    kept = ksr.htable.sht_get(_TALKS, panel)
    return Talk(*kept.split(" ", 1)) if isinstance(kept, str) else None


def ends(ksr: Ksr, panel: str, call_id: str) -> None:
    """Forget the call, unless another has begun."""
    with locked(ksr, _TALKS, panel):
        talk = of(ksr, panel)
        if talk is not None and talk.call_id == call_id:
            ksr.htable.sht_rm(_TALKS, panel)
