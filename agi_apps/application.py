"""What an AGI application is: a function from a call's arguments and the services to dialplan variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agi_apps.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from agi_apps.call_events import CallEvents
    from agi_apps.crm_client import CrmClient
    from agi_apps.emergency_lease import EmergencyLeases
    from agi_apps.plan_lookup import PlanLookup
    from agi_apps.pushes import Pushes

Outputs = dict[Variable, str]
NOTHING: Outputs = {}
TOO_OLD = "it was asked for too long ago"


def _always() -> bool:
    return True


def number_of(argument: str) -> int:
    """A number that the dialplan passes; 0 when it knows none and passes an empty text."""
    return int(argument) if argument.isascii() and argument.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Services:
    """What applications work with. `now_ms` is the clock, `beside` runs what may outlast the application.

    `is_fresh` says whether what is asked for may still be begun (`Application.fresh_s`): to be asked as the last thing
    before it is, as this process may have stood still since it was asked last.
    """

    plans: PlanLookup
    crm: CrmClient
    events: CallEvents
    pushes: Pushes
    now_ms: Callable[[], int]
    permission_fresh_s: int
    opening_wait_s: float
    beside: Executor
    leases: EmergencyLeases
    is_fresh: Callable[[], bool] = _always


@dataclass(frozen=True, slots=True)
class Answer:
    """Outputs of which more is told when it is known whether they were of use.

    `told` is called once: with an empty text when Asterisk has set them for a call that goes on, else with why not.
    """

    outputs: Outputs
    told: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Application:
    """One AGI application.

    `arguments` names what the dialplan passes, in order; any other number is refused, but for the last `added` of them:
    nodes of the release before, which are started anew after this server, do not pass these, and they are empty then.
    `run` gets their values and returns the variables to set, alone or as an `Answer`. `fallback` is what the dialplan
    is told when no neighbour could help or the deadline passed; None leaves the preset `EP_DECISION=error`.
    `for_living_calls`: not run when its channel is over by then. `fresh_s`: not run when it was asked for longer ago
    (this server stood still, or calls queued up): whoever asked has left, or asked again.
    """

    name: str
    arguments: tuple[str, ...]
    run: Callable[[Sequence[str], Services], Mapping[Variable, str] | Answer]
    deadline_s: float
    fallback: Mapping[Variable, str] | None = None
    for_living_calls: bool = False
    fresh_s: float | None = None
    added: int = 0
