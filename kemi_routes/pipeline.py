"""A request and the steps it passes: each step either lets it go on or has answered it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from KSR import Ksr

    from kemi_routes.settings import Settings


class Outcome(Enum):
    """What a step decided."""

    NEXT = "next"
    DONE = "done"


NEXT = Outcome.NEXT
DONE = Outcome.DONE


class Request:
    """One SIP request while it is being routed.

    Attributes:
        settings: what differs per host.
        method: SIP method, upper case.
        call_id: SIP Call-ID.
        source_ip: address it came from.
        in_dialog: To has a tag.
        from_node: it came from an address of the dispatcher list, that is, from Asterisk.
        number: user of the request URI, empty without one.
        emergency: an INVITE to an emergency number.
        account: name of the authenticated account, empty before.
        kind: kind of that account.
        disabled: the account is; only an emergency call goes on then.
    """

    __slots__ = (
        "account",
        "call_id",
        "disabled",
        "emergency",
        "from_node",
        "in_dialog",
        "kind",
        "method",
        "number",
        "settings",
        "source_ip",
    )

    def __init__(
        self,
        settings: Settings,
        method: str,
        call_id: str,
        source_ip: str,
        number: str,
        *,
        in_dialog: bool,
        from_node: bool,
    ) -> None:
        self.settings = settings
        self.method = method
        self.call_id = call_id
        self.source_ip = source_ip
        self.number = number
        self.in_dialog = in_dialog
        self.from_node = from_node
        self.emergency = method == "INVITE" and not in_dialog and number in settings.emergency_numbers
        self.account = ""
        self.kind = ""
        self.disabled = False

    @property
    def may_be_sos(self) -> bool:
        """Whether it is worth looking whether this is what some SOS button dials, or the number of test calls."""
        return self.method == "INVITE" and not (self.in_dialog or self.from_node or self.emergency)


class Step(Protocol):
    """A step of a pipeline: a plain function, so that each is tested alone."""

    def __call__(self, ksr: Ksr, request: Request, /) -> Outcome:
        """Look at the request; DONE when it has been answered."""
        ...


class Refusal(NamedTuple):
    """An answer that ends a request, with the reason that goes to the log and to the story of the call."""

    status: int
    phrase: str
    reason: str


def run(steps: Sequence[Step], ksr: Ksr, request: Request) -> None:
    """Pass the request from step to step until one has answered it."""
    for step in steps:
        if step(ksr, request) is DONE:
            return
