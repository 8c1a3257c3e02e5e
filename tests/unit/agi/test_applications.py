from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from agi_apps.applications import access_code, call_ended, pass_on, passed_on, phone_ended, ring_all, stage_ended
from agi_apps.crm_client import CodeVerdict, CrmAway
from agi_apps.plan_lookup import FoundPlan, NoPlan
from agi_apps.prompts import LANGUAGES, Prompt, language_of
from agi_apps.ring_plan import Door, InvalidPlan, RingPlan, Target, decode_plan
from agi_apps.variables import Decision, Variable
from tests.unit.agi.stand_ins import NOW_MS, Crm, Events, Plans, plan_json, ring_plan, services, taken

RING = ("call-1", "p10001", "12")
TYPED = ("call-1", "p10001", "access_code", "40719")
PRESS = ("call-1", "p10001", "12", "h10012a", "#", "")
HOUR_MS = 3_600_000


def test_all_accounts_of_the_first_stage_ring() -> None:
    outputs = ring_all.run(RING, services(Plans(ring_plan())))
    assert outputs[Variable.DECISION] == "dial"
    assert outputs[Variable.ACCOUNTS] == "h10012a,h10012b"
    assert outputs[Variable.STAGE] == "0"
    assert outputs[Variable.RING_TIMEOUT_S] == "30"
    assert outputs[Variable.TALK_LIMIT_MS] == "120000"
    assert outputs[Variable.PLAN_SOURCE] == "redis"


@pytest.mark.parametrize(
    ("outcome", "prompt"), [("blocked", Prompt.BLOCKED), ("unknown_number", Prompt.UNKNOWN_NUMBER)]
)
def test_the_visitor_is_told_why_nobody_rings(outcome: str, prompt: Prompt) -> None:
    outputs = ring_all.run(RING, services(Plans(ring_plan(outcome=outcome))))
    assert (outputs[Variable.DECISION], outputs[Variable.PROMPT]) == ("prompt", prompt.value.sound)


def test_a_plan_without_targets_is_nobody_home() -> None:
    outputs = ring_all.run(RING, services(Plans(ring_plan(stages=[]))))
    assert outputs[Variable.PROMPT] == Prompt.NOBODY_HOME.value.sound


def stage_ended_outputs(stage: str, status: str, cause: str = "19") -> dict[Variable, str]:
    return stage_ended.run(("call-1", "p10001", "12", stage, status, cause, ""), services(Plans(ring_plan())))


def test_the_next_stage_rings_when_nobody_answers() -> None:
    outputs = stage_ended_outputs("0", "NOANSWER")
    assert (outputs[Variable.DECISION], outputs[Variable.ACCOUNTS], outputs[Variable.STAGE]) == ("desk", "c1", "1")


@pytest.mark.parametrize(
    ("status", "cause", "result"),
    [
        ("NOANSWER", "19", "no_answer"),
        ("NOANSWER", "21", "no_answer"),  # one declined, another did not answer
        ("BUSY", "17", "busy"),
        ("CHANUNAVAIL", "21", "declined"),
        ("CHANUNAVAIL", "20", "failed"),
    ],
)
def test_the_end_of_a_stage_is_told(status: str, cause: str, result: str) -> None:
    events = Events()
    arguments = ("call-1", "p10001", "12", "0", status, cause, "")
    stage_ended.run(arguments, services(Plans(ring_plan()), events=events))
    (told,) = events.kept
    assert (told["event"], told["call_id"], told["stage"], told["result"]) == ("stage", "call-1", 0, result)


@pytest.mark.parametrize(
    ("status", "cause", "prompt"),
    [
        ("NOANSWER", "19", Prompt.NOBODY_HOME),
        ("BUSY", "17", Prompt.BUSY),
        ("CHANUNAVAIL", "20", Prompt.NOBODY_HOME),
        ("CONGESTION", "34", Prompt.SERVICE_UNAVAILABLE),
    ],
)
def test_the_last_stage_ends_with_the_right_prompt(status: str, cause: str, prompt: Prompt) -> None:
    assert stage_ended_outputs("1", status, cause)[Variable.PROMPT] == prompt.value.sound


@pytest.mark.parametrize(
    ("status", "decision", "sound", "result"),
    [
        ("ANSWER", "phone", "", "answered"),  # by somebody who hung up at once: nothing was counted
        ("CANCEL", "dial", "", "caller_hung_up"),
        ("", "dial", "", "caller_hung_up"),
        ("CHANUNAVAIL", "dial", "", "caller_hung_up"),  # in the moment in which it was clear that nobody is there
        ("INVALIDARGS", "phone", "", "failed"),
        ("", "", "", "caller_hung_up"),  # before FastAGI had said anything
        ("", "", "im-sorry", "failed"),
        ("NOANSWER", "prompt", Prompt.NOBODY_HOME.value.sound, "no_answer"),
        ("BUSY", "prompt", Prompt.BUSY.value.sound, "busy"),
        ("", "prompt", Prompt.BLOCKED.value.sound, "blocked"),
        ("", "prompt", Prompt.UNKNOWN_NUMBER.value.sound, "unknown_number"),
        ("", "error", "im-sorry", "failed"),
        ("CHANUNAVAIL", "error", "", "caller_hung_up"),  # a stage was over, and he left before the next
        ("CONGESTION", "prompt", Prompt.SERVICE_UNAVAILABLE.value.sound, "failed"),
    ],
)
def test_result_of_a_call(status: str, decision: str, sound: str, result: str) -> None:
    events = Events()
    arguments = ("c", "p10001", "12", status, "16", "", "redis", decision, sound, "1790000000000", "", "caller", "")
    call_ended.run(arguments, services(Plans(None), events=events))
    assert (events.kept[0]["result"], events.kept[0]["talk_ms"]) == (result, 0)
    assert events.kept[0]["hung_up_by"] == "caller"


@pytest.mark.parametrize(
    "changes",
    [
        {"panel": "p2"},
        {"stages": [{"ring_timeout_s": 30, "targets": [{"account": "a,b", "kind": "x", "may_open": True}]}]},
        {"stages": [{"ring_timeout_s": 0, "targets": []}]},
        {"outcome": "open"},
        {"door": {"door_id": 1, "method": "dtmf", "dtmf": "1,2"}},
    ],
)
def test_a_plan_that_breaks_the_contract_is_not_used(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidPlan):
        decode_plan(plan_json(**changes), "p10001", "12")


def staged(
    status: str, cause: str, started_ms: int = NOW_MS, stage: str = "0", **changes: object
) -> dict[Variable, str]:
    args = ("call-1", "p10001", "12", stage, status, cause, str(started_ms))
    return stage_ended.run(args, services(Plans(ring_plan(**changes))))


def two_stages(on_refusal: str) -> list[dict[str, object]]:
    target = {"account": "h1", "kind": "handset", "may_open": True}
    other = {"account": "a1", "kind": "app", "may_open": True}
    return [
        {"ring_timeout_s": 30, "targets": [target], "on_refusal": on_refusal},
        {"ring_timeout_s": 30, "targets": [other]},
    ]


@pytest.mark.parametrize(("status", "cause"), [("BUSY", "17"), ("CHANUNAVAIL", "21")])
def test_a_refusal_ends_the_call_or_goes_on_as_the_stage_says(status: str, cause: str) -> None:
    assert staged(status, cause, stages=two_stages("next"))[Variable.ACCOUNTS] == "a1"
    assert staged(status, cause, stages=two_stages("stop"))[Variable.DECISION] == "prompt"
    assert staged("NOANSWER", "19", stages=two_stages("stop"))[Variable.ACCOUNTS] == "a1"


def test_all_stages_together_ring_no_longer_than_the_limit() -> None:
    assert ring_all.run(RING, services(Plans(ring_plan(ring_limit_s=12))))[Variable.RING_TIMEOUT_S] == "12"
    assert staged("NOANSWER", "19", NOW_MS - 30_000, ring_limit_s=40)[Variable.RING_TIMEOUT_S] == "10"
    over = staged("NOANSWER", "19", NOW_MS - 30_000, ring_limit_s=30)
    assert over[Variable.PROMPT] == Prompt.NOBODY_HOME.value.sound


@pytest.mark.parametrize("stage", ["0", "100"])
def test_a_clock_that_is_ahead_of_the_nodes_takes_no_later_stage_its_turn(stage: str) -> None:
    """A stage rings no longer than its plan says, whatever two hosts' clocks make of it."""
    outputs = staged("NOANSWER", "19", NOW_MS - 600_000, stage=stage, ring_limit_s=45)
    assert (outputs[Variable.ACCOUNTS], outputs[Variable.STAGE]) == ("c1", str(int(stage) + 1))
    assert outputs[Variable.RING_TIMEOUT_S] == "15"


def test_only_a_desk_that_answers_for_the_call_passes_it_on() -> None:
    def passed(account: str, plan: RingPlan) -> str:
        return pass_on.run(("call-1", "p10001", "12", account, "13"), services(Plans(plan)))[Variable.DECISION]

    assert passed("c1", ring_plan()) == Decision.PASS
    assert passed("h10012a", ring_plan()) == Decision.REFUSED
    assert passed("", ring_plan()) == Decision.REFUSED
    assert passed("c1", ring_plan(apartment_id=None)) == Decision.REFUSED


class _PlansOf:
    """Knows these numbers; of any other it says that there is none, or (away) nothing."""

    def __init__(self, *numbers: str, away: bool = False) -> None:
        self._numbers, self._away = numbers, away

    def find(self, panel: str, dialled: str) -> FoundPlan:
        if dialled not in self._numbers and self._away:
            raise NoPlan(f"{panel}:{dialled}")
        outcome = "ring" if dialled in self._numbers else "unknown_number"
        return FoundPlan(ring_plan(outcome=outcome), "redis", NOW_MS)


@pytest.mark.parametrize("away", [False, True], ids=["the CRM knows", "the CRM is away"])
@pytest.mark.parametrize(
    ("pressed", "there_is", "passed_to"),
    [
        ("7*2", "7#2", "7#2"),
        ("7*2", "7*2", "7*2"),
        ("1234*1203", "1234#1203", "1234#1203"),
        ("72", "7#2", None),
        ("7*2", "72", None),
    ],
)
def test_a_desk_presses_a_star_where_a_gates_separator_is_the_key_that_ends_its_number(
    pressed: str, there_is: str, passed_to: str | None, away: bool
) -> None:
    plans = cast("Plans", _PlansOf("0", there_is, away=away))
    outputs = pass_on.run(("call-1", "p10001", "0", "c1", pressed), services(plans))
    assert outputs.get(Variable.PASSED_TO) == passed_to
    assert outputs[Variable.DECISION] == (Decision.PASS if passed_to else Decision.REFUSED)


def test_stages_after_a_desk_passed_the_visitor_on_are_counted_from_100() -> None:
    outputs = passed_on.run(RING, services(Plans(ring_plan())))
    assert outputs[Variable.STAGE] == "100"
    assert staged("NOANSWER", "19", stage="100")[Variable.STAGE] == "101"
    assert staged("NOANSWER", "19", stage="101")[Variable.DECISION] == "prompt"


VERDICTS = [
    (CodeVerdict("granted", door=Door(3, "dtmf", "77")), Decision.DTMF, "sent", "code_accepted"),
    (CodeVerdict("granted"), Decision.PROMPT, "failed", "failed"),  # a door that no digits open
    (CodeVerdict("opened", door=Door(3, "http")), Decision.OPENED, "opened", "code_accepted"),
    (CodeVerdict("refused", "nobody knows this code"), Decision.PROMPT, "refused", "code_refused"),
    (CodeVerdict("refused", "locked", locked_until_ms=NOW_MS), Decision.PROMPT, "refused", "code_locked"),
    (CodeVerdict("failed", "relay stuck"), Decision.PROMPT, "failed", "failed"),
]


@pytest.mark.parametrize(("verdict", "decision", "result", "recorded"), VERDICTS)
def test_an_access_code_goes_to_the_crm_and_into_no_event(
    verdict: CodeVerdict, decision: Decision, result: str, recorded: str
) -> None:
    class CodeCrm(Crm):
        def enter_code(self, call_id: str, panel: str, code: str) -> CodeVerdict:
            assert (call_id, panel, code) == ("call-1", "p10001", "40719")
            return verdict

    events = Events()
    outputs = taken(access_code.run(TYPED, services(Plans(None), CodeCrm(), events)))
    assert outputs[Variable.DECISION] == decision
    assert outputs.get(Variable.DOOR_DTMF) == ("77" if decision is Decision.DTMF else None)
    (event,) = events.kept
    assert (event["event"], event["result"], event["account"]) == ("door", result, None)
    assert "40719" not in str(event) + str(outputs)
    assert call_ended.result_of("", outputs[Variable.DECISION], outputs[Variable.PROMPT]) == recorded


def test_without_the_crm_no_access_code_opens() -> None:
    class NoCrm(Crm):
        def enter_code(self, call_id: str, panel: str, code: str) -> CodeVerdict:
            raise CrmAway(f"connection refused: {call_id} {panel} {len(code)} digits")

    events = Events()
    outputs = access_code.run(TYPED, services(Plans(None), NoCrm(), events))
    assert outputs == access_code.UNAVAILABLE
    assert not events.kept


@pytest.mark.parametrize(
    ("language", "spoken"),
    [("ru", "ru"), ("zh-CN", "zh"), ("zh_TW", "zh"), ("EN-gb", "en"), ("pt-BR", "en"), ("", "en")],
)
def test_prompts_are_spoken_in_the_language_of_the_company_or_in_english(language: str, spoken: str) -> None:
    assert language_of(language) == spoken


def test_every_prompt_has_a_sound_of_its_own_in_every_language() -> None:
    sounds = Path(__file__).parents[3] / "asterisk" / "sounds"
    meanings = [prompt.value.sound for prompt in Prompt]
    assert len(set(meanings)) == len(meanings)
    for sound in meanings:
        name = Path(sound).name
        assert Path(sound).parent == Path("/opt/entryphone/asterisk/sounds")
        tone = list(sounds.glob(f"{name}.*"))
        assert tone or all((sounds / language / f"{name}.gsm").exists() for language in LANGUAGES), name


def test_who_keeps_quiet_hours_is_left_out_and_a_stage_of_nobody_is_passed_over() -> None:
    def targets(*quiet: object) -> list[dict[str, object]]:
        names = ("h1", "a1")
        return [{"account": n, "kind": "app", "may_open": True, "quiet": q} for n, q in zip(names, quiet, strict=False)]

    now, past = [[NOW_MS - 1, NOW_MS + 1]], [[NOW_MS - 2, NOW_MS]]

    def accounts(*quiet: object) -> tuple[str, str]:
        stages = [
            {"ring_timeout_s": 30, "targets": targets(*quiet)},
            {"ring_timeout_s": 20, "targets": [{"account": "c1", "kind": "handset", "may_open": True}]},
        ]
        outputs = ring_all.run(RING, services(Plans(ring_plan(stages=stages))))
        return outputs[Variable.ACCOUNTS], outputs[Variable.STAGE]

    assert accounts([], past) == ("h1,a1", "0")
    assert accounts(now, past) == ("a1", "0")
    assert accounts(now, now) == ("c1", "1")


@pytest.mark.parametrize(
    ("passed_ms", "quiet"),
    [
        (-1, False), (0, True), (9 * HOUR_MS - 1, True), (9 * HOUR_MS, False), (24 * HOUR_MS - 1, False),
        (24 * HOUR_MS, True), (33 * HOUR_MS - 1, True), (33 * HOUR_MS, False), (30 * 24 * HOUR_MS + HOUR_MS, True),
        (30 * 24 * HOUR_MS + 10 * HOUR_MS, False),
    ],
)  # fmt: skip
def test_with_the_crm_away_for_days_the_last_quiet_hours_come_again_each_day(passed_ms: int, quiet: bool) -> None:
    first, last = NOW_MS - 24 * HOUR_MS, NOW_MS
    target = Target("h1", "handset", may_open=True, quiet=((first, first + 9 * HOUR_MS), (last, last + 9 * HOUR_MS)))
    assert target.is_quiet(NOW_MS + passed_ms) is quiet


@pytest.mark.parametrize(
    ("cause", "no_media", "reason"),
    [("16", "", None), ("44", "", "no media for 30 s"), ("16", "1", "no media for 30 s")],
)
def test_a_talk_that_ended_for_lack_of_media_says_so(cause: str, no_media: str, reason: str | None) -> None:
    events = Events()
    arguments = ("c", "p10001", "12", "ANSWER", cause, "31000", "redis", "dial", "", "1790000000000", no_media, "", "")
    call_ended.run(arguments, services(Plans(None), events=events))
    assert [(e["result"], e["talk_ms"], e["reason"]) for e in events.kept] == [("answered", 31_000, reason)]
    assert events.kept[0]["hung_up_by"] == (None if reason is None else "platform")


def test_a_talk_that_ended_for_lack_of_media_was_ended_by_us_whoever_was_thought_to_have_hung_up() -> None:
    """Who hung up is worked out before the other leg is over, which alone knows."""
    events = Events()
    arguments = ("c", "p1", "12", "ANSWER", "16", "31000", "redis", "phone", "", "1790000000000", "1", "callee", "")
    call_ended.run(arguments, services(Plans(None), events=events))
    assert [(told["reason"], told["hung_up_by"]) for told in events.kept] == [("no media for 30 s", "platform")]


@pytest.mark.parametrize(("header", "moves"), [("", 0), ("2", 2)])
def test_an_end_says_how_often_the_call_had_moved(header: str, moves: int) -> None:
    events = Events()
    arguments = ("c", "p10001", "12", "CANCEL", "0", "", "redis", "dial", "", "1790000000000", "", "platform", header)
    call_ended.run(arguments, services(Plans(None), events=events))
    assert [told["moves"] for told in events.kept] == [moves]


@pytest.mark.parametrize(
    ("status", "decision", "sound", "result", "talk_ms"),
    [
        ("ANSWER", "desk", "", "answered", None),
        ("CANCEL", "dial", "", "no_answer", 0),
        ("", "prompt", Prompt.BLOCKED.value.sound, "blocked", 0),
    ],
)
def test_a_call_that_gave_way_to_a_dispatcher_says_so(
    status: str, decision: str, sound: str, result: str, talk_ms: int | None
) -> None:
    events = Events()
    arguments = ("c", "p10001", "12", status, "16", "", "redis", decision, sound, "1790000000000", "", "dispatcher", "")
    call_ended.run(arguments, services(Plans(None), events=events))
    (told,) = events.kept
    assert (told["result"], told["talk_ms"]) == (result, talk_ms)
    assert (told["hung_up_by"], told["reason"]) == ("platform", "the panel was called back by a dispatcher")


@pytest.mark.parametrize(
    ("confirmed", "told"),
    [("", (None, None)), ("no", ("no", None)), ("yes", ("yes", None)), (f"yes {NOW_MS - 2_000}", ("yes", 2_000))],
)
def test_a_phones_end_tells_when_its_key_was_pressed(confirmed: str, told: tuple[str | None, int | None]) -> None:
    events = Events()
    arguments = (*RING, "0", "1 f12 carrier-a", str(NOW_MS - 9_000), confirmed, "16")
    phone_ended.run(arguments, services(Plans(ring_plan()), events=events))
    (event,) = events.kept
    assert (event["phone_ms"], event["confirmed"], event["connected_ms"]) == (9_000, *told)


@pytest.mark.parametrize(("cause", "told"), [("44", 44), ("", None)], ids=["silent", "a node of the release before"])
def test_a_phones_end_tells_its_cause(cause: str, told: int | None) -> None:
    events = Events()
    arguments = (*RING, "0", "1 f12 carrier-a", str(NOW_MS - 9_000), "", cause)
    phone_ended.run(arguments, services(Plans(ring_plan()), events=events))
    assert [event["cause"] for event in events.kept] == [told]
