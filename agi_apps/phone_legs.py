"""A stage that rings phones: which legs it has beside the one that reaches every SIP account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import NOTHING
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Outputs
    from agi_apps.ring_plan import RingPlan, Target

PHONE = "phone"
SLEEPER = "~"
STAGE_LEG = "PJSIP/stage@kamailio"


def named(target: Target) -> str:
    """Return an account as the stage's header names it: one that a push wakes is marked."""
    return SLEEPER + target.account if target.wakes else target.account


def outputs(plan: RingPlan, targets: Sequence[Target], *, confirm: bool) -> Outputs:
    """What a stage with phones has to tell the dialplan beside the usual; nothing when no phone can be dialled.

    A phone that has to be confirmed is dialled by a local channel, which answers only when the key was pressed: so
    whoever else rings goes on ringing while an answering machine talks. So is one that a voice API may call: its call
    comes in from outside, and is joined with the local channel.
    """
    phones = [target for target in targets if target.kind == PHONE and target.number is not None]
    trunks = plan.trunks
    if not phones or not trunks:
        return NOTHING
    others = [named(target) for target in targets if target.kind != PHONE]
    is_local = confirm or any(trunk.kind != "sip" for trunk in trunks)
    leg = "Local/{}@phone/n" if is_local else "PJSIP/{}@trunk"
    legs = [STAGE_LEG] if others else []
    legs += [leg.format(phone.account) for phone in phones]
    return {
        Variable.DECISION: Decision.PHONE,
        Variable.ACCOUNTS: ",".join(others),
        Variable.LEGS: "&".join(legs),
        Variable.PHONES: ",".join([f"{phone.account}={phone.number}" for phone in phones]),
        Variable.TRUNKS: ",".join([f"{trunk.trunk}={trunk.caller_number or ''}" for trunk in trunks]),
        Variable.CONFIRM: "1" if confirm else "",
    }
