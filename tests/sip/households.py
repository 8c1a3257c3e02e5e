"""Which apartment of the demo town a story plays in. The only file that knows the town's notes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lab.peers.town import Resident

if TYPE_CHECKING:
    from lab.peers.town import Apartment, Panel, Town

Place = tuple["Apartment", "Panel", str]
BUTTON = "0"
"""What a panel dials when its concierge button is pressed."""


def family(town: Town, method: str = "dtmf") -> Place:
    """Three accounts, nothing special, behind a panel whose door opens this way."""
    for apartment in town.apartments:
        for account, number in apartment.dial.items():
            panel = town.panel(account)
            if len(apartment.residents) == 3 and panel.method == method and not _special(apartment):
                return apartment, panel, number
    raise LookupError(f"the town has no ordinary apartment of three accounts behind a panel with method {method!r}")


def blocked(town: Town) -> Place:
    """The apartment the company has blocked."""
    return town.apartment("blocked")


def debtor(town: Town) -> Place:
    """May talk, may not open: the door is blocked for debt."""
    return town.apartment("debt")


def kind_neighbour(town: Town) -> Place:
    """Its plan also rings the neighbour, who may talk but not open."""
    return town.apartment("also rings the neighbour")


def the_neighbour(town: Town) -> Resident:
    """The neighbour's phone."""
    apartment, _, _ = town.apartment("the neighbour of")
    return apartment.residents[0]


def in_two_stages(town: Town) -> Place:
    """The handset rings first, the app after ten seconds."""
    return town.apartment("handset first")


def from_the_gate(town: Town) -> list[Place]:
    """The apartments 12 of both houses, as the gate shared by them dials them."""
    gate = next(panel for panel in town.panels if "gate" in panel.name.lower())
    account = gate.credentials.username
    return [
        (apartment, gate, apartment.dial[account])
        for apartment in town.apartments
        if apartment.number == "12" and account in apartment.dial
    ]


def nobody_home(town: Town) -> Place:
    """Accounts, but never a phone registered."""
    return town.apartment("nobody registered")


def _special(apartment: Apartment) -> bool:
    note = apartment.note.lower()
    return any(word in note for word in ("block", "debt", "nobody", "empty", "disabled"))


def stranger(town: Town) -> Place:
    """An apartment, and a panel it is not behind, and the number that reaches it elsewhere."""
    for apartment in town.apartments:
        for panel in town.panels:
            number = next(iter(apartment.dial.values()), "")
            if panel.credentials.username not in apartment.dial and number and number not in panel.reaches:
                return apartment, panel, number
    raise LookupError("every panel of the town reaches every number")


def beside_a_desk(town: Town) -> list[Place]:
    """The apartments of the house that has concierge desks, as its entrance panel dials them."""
    places = [town.apartment(note) for note in ("handset first", "indoor unit only", "apartment 12 here, too")]
    entrance = next(panel for panel in town.panels if panel.name == "Sadovaya 7, entrance 1")
    return [(apartment, entrance, apartment.dial[entrance.credentials.username]) for apartment, _, _ in places]


def as_callee(panel: Panel) -> Resident:
    """A panel that is called: it registers and answers like a phone."""
    return Resident(panel.credentials, "panel", panel.address)


def with_a_gateway(town: Town) -> Place:
    """A home gateway rings first, the app after eight seconds."""
    return town.apartment("home gateway first")


def one_after_another(town: Town) -> Place:
    """Two residents with an app each: the second rings when the first has not answered."""
    return town.apartment("one after another")


def quiet_at_night(town: Town) -> Place:
    """A handset that keeps quiet hours, and an app that keeps none."""
    return town.apartment("quiet at night")


def without_a_plan(town: Town) -> Place:
    """An app and a phone, and no ring plan kept: the company's default."""
    return town.apartment("no plan of her own")


def asleep(town: Town) -> Place:
    """An app that a push wakes; the town has its token."""
    return town.apartment("a push wakes it")


def indoor_unit_first(town: Town) -> Place:
    """In the second company: an indoor unit, after six seconds two apps, then a phone."""
    return town.apartment("the indoor unit first")


def one_by_one(town: Town) -> Place:
    """In the second company: Boris' app and Anna's; hers rings first."""
    return town.apartment("rung one by one")


def blocked_in_russian(town: Town) -> Place:
    """In the second company: blocked for repair."""
    return town.apartment("told in Russian")


def takes_messages(town: Town) -> Place:
    """In the second company: nobody registered, so the visitor may leave a message."""
    return town.apartment("a message can be left")


def refusal_is_an_answer(town: Town) -> Place:
    """In the second company: an app whose refusal ends the call, before a phone rings."""
    return town.apartment("who refuses has answered")


def quiet_hours(from_h: int, until_h: int) -> dict[str, str]:
    """Quiet hours of an account, told by hours from now; the demo city keeps UTC."""
    now = datetime.now(UTC)
    moments = {"quiet_from": from_h, "quiet_until": until_h}
    return {name: f"{now + timedelta(hours=hours):%H:%M}" for name, hours in moments.items()}
