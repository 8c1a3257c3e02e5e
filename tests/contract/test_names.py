"""Names that cross the border between processes are the same on both sides (docs/contracts.md, 3, 4, 5, 7, 8)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agi_apps import phone_legs
from agi_apps import redis_keys as agi_keys
from agi_apps.applications import call_ended
from agi_apps.registry import APPLICATIONS
from agi_apps.variables import Decision, Variable
from crm_api.adapters import redis_keys as crm_keys
from crm_api.adapters import registrar
from crm_api.domain import call_record, numbering
from crm_api.domain.kinds import ACCOUNT_KINDS
from crm_api.services import voice_calls as crm_voice_calls
from kemi_routes import (
    call_backs,
    contact_answers,
    headers,
    nodes,
    policy,
    stage_calls,
    story,
    streams,
    talks,
    voice_calls,
    voice_wishes,
)

REPOSITORY = Path(__file__).parents[2]
DIALPLAN = "\n".join(
    line
    for name in ("extensions.conf", "emergency.conf")
    for line in (REPOSITORY / "asterisk" / name).read_text().splitlines()
    if not line.startswith(";")
)
CONTRACTS = (REPOSITORY / "docs/contracts.md").read_text()


def test_every_private_header_of_the_dialplan_is_known_to_kamailio_and_the_other_way_round() -> None:
    ours = {headers.KIND, headers.STAGE, headers.ANSWERED_BY, headers.TRUNK, headers.EMERGENCY, headers.CALL_BACK}
    ours |= {headers.WAITING, headers.TARGET, headers.KEYS, headers.MOVES}
    # The kind of the caller is sent, too; the dialplan has no use for it as long as only panels reach apartments.
    assert set(re.findall(r"X-Entryphone-[A-Za-z-]+", DIALPLAN)) == ours - {headers.KIND}
    assert all(f"`{name}`" in CONTRACTS for name in ours)


def test_asterisk_calls_the_user_that_kamailio_takes_for_a_stage() -> None:
    called = {stage_calls.USER, call_backs.END_TALK, nodes.STARTED}
    assert set(re.findall(r"PJSIP/kamailio/sip:([^@]+)@", DIALPLAN)) == called
    assert {call_backs.USER, call_backs.END_TALK, voice_calls.USER} <= set(
        re.findall(r"^exten => ([a-z-]+),", DIALPLAN, re.MULTILINE)
    )


@pytest.mark.parametrize("variable", list(Variable))
def test_the_dialplan_uses_what_an_application_sets(variable: Variable) -> None:
    name = variable.value.removeprefix("__")
    # A function's value is Asterisk's to use: the caller's name becomes the display name of the leg it dials.
    assert f"${{{name}}}" in DIALPLAN or name == "CALLERID(name)"
    assert f"`{name}`" in CONTRACTS


def test_every_variable_of_the_dialplan_is_in_the_contract() -> None:
    local = {
        "EP_AGI", "EP_KAMAILIO", "EP_NODE", "EP_UNAVAILABLE_PROMPT", "EP_CALL", "EP_STARTED_AT_MS", "EP_SOUNDS",
        "EP_SPOOL", "EP_ANNOUNCED",
    }  # fmt: skip
    local |= {
        "EP_CONFIRM_PROMPT",
        "EP_PHONE_LEG",
        "EP_CONFIRMED",
        "EP_KEY",
        "EP_PHONE_ACCOUNT",
        "EP_WAITING_CHANNEL",
        "EP_JOINED",
    }
    local |= {"EP_DESK_PROMPT", "EP_TRIES", "EP_WANTED", "EP_CHANNEL", "EP_CHANNELS", "EP_THEIRS", "EP_SOUND"}
    local |= {"EP_DIGITS", "EP_LAST", "EP_BEFORE"}
    used = set(re.findall(r"\bEP_[A-Z_]+", DIALPLAN)) - local
    assert {name for name in used if f"`{name}`" not in CONTRACTS} == set()


def test_the_dialplan_calls_each_application_with_its_number_of_arguments() -> None:
    called: dict[str, int] = {}
    for name, given in re.findall(r"AGI\(agi://\$\{EP_AGI\}/([a-z_]+),(.*)\)$", DIALPLAN, re.MULTILINE):
        # EP_CALL holds the first three; a comma in brackets parts the arguments of a function.
        flat = re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "", given)
        # So does EP_PHONE_LEG: what the proxy told of the answer, and when it came.
        spelled = flat.replace("${EP_CALL}", "a,b,c").replace("${EP_PHONE_LEG}", "a,b")
        called[name] = spelled.count(",") + 1
    assert called == {name: len(application.arguments) for name, application in APPLICATIONS.items()}


def test_decisions_tested_by_the_dialplan_exist() -> None:
    tested = set(re.findall(r'"([a-z]+)SUCCESS"', DIALPLAN))
    assert tested <= {decision.value for decision in Decision}


def test_a_desk_has_time_for_the_longest_number_there_is_and_the_key_that_ends_it() -> None:
    """Whatever comes after the last key that is read is a key of the talk: `#` opens."""
    (keys,) = re.findall(r"Read\(EP_PASSED_TO,[^,]*,(\d+),", DIALPLAN)
    longest = numbering.number_to_dial("9999*", numbering.MAX_APARTMENT_NUMBER)
    assert numbering.place_code_problem(["99999"], "*") is not None, "no code is longer"
    assert int(keys) == len(longest) + 1


def test_redis_names_are_the_same_on_all_sides() -> None:
    assert agi_keys.ring_plan_key("p1", "12") == crm_keys.ring_plan("p1", "12")
    assert agi_keys.DELIVERED_AT_KEY == crm_keys.CRM_DELIVERED_AT_MS
    assert agi_keys.PUSH_STREAM == crm_keys.PUSHES
    assert agi_keys.EVENT_STREAM == crm_keys.CALL_EVENTS == streams.STREAM
    assert voice_wishes.STREAM == crm_keys.VOICE_CALLS
    assert contact_answers.QUESTIONS == crm_keys.CONTACT_QUESTIONS
    assert contact_answers.ANSWER == crm_keys.CONTACT_ANSWER_PREFIX
    assert contact_answers.MOST_ACCOUNTS == registrar.MOST_ACCOUNTS


def test_a_sleeper_is_marked_alike() -> None:
    assert phone_legs.SLEEPER == headers.SLEEPER


def test_kinds_of_accounts_are_the_same_in_crm_and_kamailio() -> None:
    assert set(policy.REACH) == set(ACCOUNT_KINDS)


def test_concierge_numbers_are_the_same_in_crm_and_kamailio() -> None:
    defaults = (REPOSITORY / "kamailio/defaults.cfg").read_text()
    found = re.search(r"!EP_CONCIERGE_NUMBERS!([^!]*)!", defaults)
    assert found is not None
    assert tuple(found[1].split(",")) == numbering.CONCIERGE_NUMBERS


def test_the_proxy_and_the_crm_speak_of_a_voice_call_in_the_same_words() -> None:
    assert voice_calls.CHANGE_MARK == crm_voice_calls.CHANGE_MARK
    assert voice_calls.PLACED_WITHIN_MS == crm_voice_calls.LATE_MS


def test_lack_of_media_is_the_same_reason_and_cause_for_all() -> None:
    assert call_record.NO_MEDIA == talks.NO_MEDIA == call_ended.NO_MEDIA
    assert call_record.NO_MEDIA_CAUSE == story.STOPPED == int(call_ended._RTP_TIMEOUT)
    assert f"`{call_record.NO_MEDIA}`" in CONTRACTS


def test_a_call_that_gave_way_to_a_dispatcher_has_the_same_reason_whoever_tells_it() -> None:
    assert talks.GAVE_WAY == call_ended.GAVE_WAY
    assert f"`{talks.GAVE_WAY}`" in CONTRACTS
