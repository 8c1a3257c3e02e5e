"""The plan that a call went by, as FastAGI told it when the call began (event `plan`, docs/contracts.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PASSED_ON_FROM: Final = 100
"""Stages of a call that a desk has passed on are counted from here."""
QUIET, NO_TRUNK = "quiet_hours", "no_trunk"
"""What FastAGI leaves out by itself; the other reasons are those of the plan (`crm_api.domain.ring_plan.LeftOut`)."""
SENTENCES: Final = {
    "disabled": "it was switched off",
    "residency_over": "its resident's time in the apartment was over",
    "not_named": "the ring plan of the apartment did not name it",
    "too_many": "its stage was full, as no more than 30 accounts ring together",
    "not_for_neighbours": "a call of a neighbour rings no phone",
    "off_duty": "its desk was not on duty",
    "not_a_residents_number": "its number was that of no resident of the apartment",
    "country_not_allowed": "the company allowed no calls to the country of its number",
    "minutes_used_up": "the minutes of phones were used up for this month",
    QUIET: "it kept quiet hours at that time of day",
    NO_TRUNK: "no trunk dialled the phones of this house",
}


@dataclass(frozen=True)
class ToldPlan:
    """One plan of a call; a call that a desk has passed on has two, the second one's stages counted from 100."""

    outcome: str
    counted_from: int
    stages: Sequence[Mapping[str, Any]]
    left_out: Mapping[str, Sequence[str]]
    ring_limit_s: int

    def stage_of(self, account: str) -> int | None:
        """Return the stage in which an account was to ring, as the record counts; None when in none."""
        found = (place for place, stage in enumerate(self.stages) if account in stage["accounts"])
        return next((self.counted_from + place for place in found), None)

    def why_left_out(self, account: str) -> str | None:
        """Return why no stage had the account; None when it is not said."""
        return next((why for why, accounts in self.left_out.items() if account in accounts), None)

    def left_out_sentence(self, account: str) -> str | None:
        """Return the same for people; a reason of a newer release is told by its name."""
        why = self.why_left_out(account)
        return None if why is None else SENTENCES.get(why, f"the plan left it out ({why})")

    def begun(self, call: Mapping[str, Any]) -> list[int]:
        """Return which of its stages have begun by the record of the call, in no order."""
        found = [branch["stage"] for branch in call["branches"]]
        found += [line["stage"] for line in call["story"] if line["event"] == "stage"]
        return [stage for stage in found if 0 <= stage - self.counted_from < PASSED_ON_FROM]

    def stops_after(self, stage: int, story: Sequence[Mapping[str, Any]]) -> bool:
        """Say whether a stage was refused by all, after which the plan has the call end."""
        place = stage - self.counted_from
        if not 0 <= place < len(self.stages) or self.stages[place].get("on_refusal") != "stop":
            return False
        ends = [line["result"] for line in story if line["event"] == "stage" and line["stage"] == stage]
        return bool(ends) and ends[-1] in {"busy", "declined"}


def plans_of(story: Sequence[Mapping[str, Any]]) -> list[ToldPlan]:
    """Return the plans that the story of a call tells, in order; none in a record of an older release."""
    return [
        ToldPlan(
            outcome=line.get("outcome", "ring"),
            counted_from=line.get("stage", 0),
            stages=line.get("stages", ()),
            left_out=line.get("left_out", {}),
            ring_limit_s=line.get("ring_limit_s", 0),
        )
        for line in story
        if line["event"] == "plan"
    ]
