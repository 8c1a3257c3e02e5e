"""Emergency calls: to Asterisk with what is known of panel and city, and from Asterisk to the dispatch centre.

The leg to the centre takes the first way that works: the leased number's trunk, the centre's other trunks, then its
public number on any trunk. A trunk that says nothing for a second and a half is passed over, one that says no more
than 100 after six. Nothing here asks a database, Redis, or the network for anything but the call itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from kemi_routes import (
    admission,
    answers,
    emergency_table,
    headers,
    nodes,
    pidf_lo,
    policy,
    second_answers,
    story,
    talks,
    trunk_branch,
    trunks,
)
from kemi_routes.emergency_table import ALWAYS, TEST_NUMBER, Way
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import CANCELLED, refuse, refuse_who_was_left, tell_no_redirect

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.emergency_table import City
    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

NOTHING = "-"
_HELD = "held_numbers"
_BOUNDARY = "entryphone-place"
_APPS = frozenset(("app", "handset", "indoor_unit", "home_gateway"))
# Kept with the transaction: `call_id LF panel LF dialled LF city LF number`; the way in use and those that are left, as
# `trunk number caller_in located`, with LF between them.
_LEG = "$avp(emergency_leg)"
_NOW = "$avp(emergency_now)"
_LEFT = "$avp(emergency_left)"
# A trunk that takes the call and then neither rings nor tells anything for so long is passed over, too; not the last.
_UNTIL_IT_RINGS_MS, _RING_MS, _SILENT_MS = 6000, 180_000, 1500
RELAYING = trunk_branch.Relaying(
    "on_emergency_branch", "on_emergency_reply", "on_emergency_failure", _UNTIL_IT_RINGS_MS, _SILENT_MS
)
_LAST = RELAYING._replace(ring_ms=_RING_MS)
_RING, _ANSWER, _NEGATIVE, _SERVER_FAILS = 101, 200, 300, 500
# What a dispatcher's own telephone says; anything else is the trunk's, and the next way is tried.
_SAID_BY_CENTRE = frozenset((487, 603))


class _Leg(NamedTuple):
    call_id: str
    panel: str
    dialled: str
    city_id: str
    number: str

    @property
    def told(self) -> story.EmergencyCall:
        return story.EmergencyCall(self.call_id, self.panel, self.dialled)


def mark(ksr: Ksr, request: Request) -> Outcome:
    """Tell Asterisk that this is an emergency call, from where, and what to do when nobody else can say.

    A number that is an apartment's behind this very panel is no emergency number here.
    """
    if not request.emergency:
        return NEXT
    place = emergency_table.place(ksr, request.account)
    test = request.number == TEST_NUMBER
    if place is not None and not test and request.number not in place.numbers:
        request.emergency = False
        return _let_go(ksr, request)
    if place is None and request.number not in (ALWAYS, TEST_NUMBER):
        # The ring plan decides what this number is; who is no panel has no emergency number but 112.
        return NEXT if request.kind == policy.PANEL else _let_go(ksr, request)
    city = emergency_table.city(ksr, "" if place is None else place.city_id)
    known = (NOTHING,) * 3 if city is None else (city.city_id, city.number or NOTHING, city.trunk or NOTHING)
    recorded = "1" if city is not None and city.records_calls else "0"
    where = ("", "en") if place is None else (quote(place.spoken()), place.language.replace("-", "_"))
    told = headers.WORDS_BY.join((*known, request.number, recorded, *where))
    ksr.hdr.append(f"{headers.EMERGENCY}: {told}\r\n")
    if request.number != ALWAYS:
        ksr.pv.sets("$rU", ALWAYS)
    return NEXT


def _let_go(ksr: Ksr, request: Request) -> Outcome:
    """What is no emergency call goes on as an ordinary one, unless it is here for having looked like one."""
    if not request.disabled:
        return NEXT
    return refuse(ksr, request, Refusal(403, "Forbidden", "account is disabled, and this is no emergency number here"))


def may_call(request: Request) -> bool:
    """Tell whether this account reaches the dispatch centre; a company may refuse its apps later."""
    if request.kind in _APPS:
        return request.number == ALWAYS
    return request.emergency and request.kind in (policy.PANEL, policy.STRANGER)


def ring_centre(ksr: Ksr, request: Request) -> Outcome:
    """Send the leg of an Asterisk node to the dispatch centre of a city.

    The header holds: city, caller's number, its trunk, panel, number dialled, and the call.
    """
    words = ksr.hdr.gete(headers.EMERGENCY).split(headers.WORDS_BY)
    if len(words) != 6:  # noqa: PLR2004 - as the docstring says
        return refuse(ksr, request, Refusal(400, "Bad Emergency", f"{headers.EMERGENCY} takes six words"))
    city_id, number, trunk, panel, dialled, call = words
    city = emergency_table.city(ksr, "" if city_id == NOTHING else city_id)
    call_id = headers.call_of(call)
    if nodes.has_left(ksr, call_id):
        return refuse_who_was_left(ksr, request)
    admission.node_dials(ksr, call_id)
    told = story.EmergencyCall(call_id, panel, dialled)
    talks.centre_called(ksr, told)
    ways = [] if city is None else _ways(ksr, city, trunk, test=dialled == TEST_NUMBER)
    if city is None or not ways:
        story.emergency(ksr, told, ("no_way", f"city {city_id}: no centre, or no trunk to it"))
        return refuse(ksr, request, Refusal(480, "No Way", f"city {city_id} has no dispatch centre or no trunk"))
    shown = city.number if number == NOTHING else number
    headers.strip_private(ksr)
    for name in ("Route", "P-Asserted-Identity", "Geolocation", "Geolocation-Routing"):
        ksr.hdr.remove(name)
    ksr.rr.record_route()
    nodes.keep_stage_leg(ksr, request.call_id)
    leg = _Leg(call_id, panel, dialled, city.city_id, shown)
    if shown:
        ksr.htable.sht_sets(_HELD, shown, panel)
    ksr.pv.sets(_LEG, "\n".join(leg))
    ksr.pv.sets(_LEFT, "\n".join(f"{w.trunk} {w.number} {w.caller_in} {int(w.sends_location)}" for w in ways))
    if not _try_next(ksr, leg):
        status, phrase = CANCELLED if trunk_branch.is_over(ksr) else (503, "No Trunk")
        nodes.end_stage_leg(ksr, request.call_id)
        ksr.sl.send_reply(status, phrase)
    return DONE


def _ways(ksr: Ksr, city: City, trunk: str, *, test: bool) -> list[Way]:
    """Return the ways in the order in which they are tried; trunks that have just failed come last."""
    ways = [way for way in city.ways if trunks.find(ksr, way.trunk) is not None]
    if test:
        first = {way.trunk: way for way in reversed(ways)}
        ways = [way._replace(number=city.test_number) for way in ways if first[way.trunk] is way and city.test_number]
    usual = city.ways[0].number if city.ways else ""
    resting = {way.trunk: trunks.rests(ksr, way.trunk) for way in ways}
    ways.sort(key=lambda way: (resting[way.trunk], way.number != usual and not test, way.trunk != trunk))
    return ways


def _leg(ksr: Ksr) -> _Leg:
    return _Leg(*str(ksr.pv.get(_LEG)).split("\n"))


def _now(ksr: Ksr) -> Way:
    trunk, number, caller_in, located = str(ksr.pv.get(_NOW)).split(" ")
    return Way(trunk, number, caller_in, located == "1")


def _relaying(ksr: Ksr) -> trunk_branch.Relaying:
    """The last way has all the time it needs."""
    return RELAYING if ksr.pv.get(_LEFT) else _LAST


def _try_next(ksr: Ksr, leg: _Leg) -> bool:
    """Take the next way; False when none is left, or nobody waits for it any more."""
    while left := str(ksr.pv.get(_LEFT) or ""):
        first, _, rest = left.partition("\n")
        ksr.pv.sets(_LEFT, rest)
        ksr.pv.sets(_NOW, first)
        way = _now(ksr)
        trunk = trunks.find(ksr, way.trunk)
        if trunk is None:
            continue
        story.emergency(ksr, leg.told, ("dial", f"{way.trunk} {way.number}"), leg.number)
        if trunk_branch.send(ksr, _relaying(ksr), trunk.uri(way.number)):
            return True
        if trunk_branch.is_over(ksr):
            return False
        trunks.rest(ksr, way.trunk)
        story.emergency(ksr, leg.told, ("trunk_failed", f"{way.trunk} cannot be reached"))
    return False


def on_branch(ksr: Ksr, settings: Settings) -> None:
    """Tell caller and place as this trunk wants them; only this branch is changed."""
    leg, way = _leg(ksr), _now(ksr)
    trunk = trunks.find(ksr, way.trunk)
    city = emergency_table.city(ksr, leg.city_id)
    shown = leg.number if trunk is None else trunk.shown(leg.number)
    pilot = city.number if city is not None and way.caller_in == "asserted" and city.number else leg.number
    if trunk is not None:
        pilot = trunk.shown(pilot)
    uri = f"sip:{shown or 'anonymous'}@{settings.domain}"
    trunk_branch.show_caller(ksr, f"sip:{pilot or 'anonymous'}@{settings.domain}")
    if shown and way.caller_in != "from":
        ksr.hdr.append(f"P-Asserted-Identity: <{uri}>\r\n")
    place = emergency_table.place(ksr, leg.panel)
    if way.sends_location and city is not None and place is not None and place.address:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = pidf_lo.document(uri, f"sip:{leg.panel}@{settings.domain}", city, place, moment)
        content_id = f"panel@{settings.domain}"
        ksr.hdr.append(f"Geolocation: <cid:{content_id}>\r\n")
        ksr.hdr.append("Geolocation-Routing: no\r\n")
        attach(ksr, body, content_id)


def attach(ksr: Ksr, body: str, content_id: str) -> None:
    """Put the location beside the media description (multipart/mixed, RFC 5621; RFC 6442, section 5.1)."""
    description = ksr.pv.get("$rb")
    parts = (
        f"Content-Type: application/sdp\r\n\r\n{description if isinstance(description, str) else ''}",
        f"Content-Type: {pidf_lo.CONTENT_TYPE}\r\nContent-ID: <{content_id}>\r\n\r\n{body}",
    )
    text = "".join(f"--{_BOUNDARY}\r\n{part}\r\n" for part in parts) + f"--{_BOUNDARY}--\r\n"
    ksr.textops.set_body(text, f"multipart/mixed;boundary={_BOUNDARY}")
    ksr.hdr.append("MIME-Version: 1.0\r\n")


def on_reply(ksr: Ksr, settings: Settings) -> None:
    """A trunk's reply on its way to Asterisk."""
    status = ksr.kx.get_status()
    if status < _RING:
        return
    if second_answers.ends_given_up(ksr, settings):
        return
    trunk_branch.clean_reply(ksr, status)
    leg, way = _leg(ksr), _now(ksr)
    if status < _ANSWER:
        ksr.tm.t_set_fr(_RING_MS, trunk_branch.CANCEL_MS)
        story.emergency(ksr, leg.told, ("rings", f"{way.trunk} {status}"), leg.number)
    elif status < _NEGATIVE and nodes.is_in_setup(ksr, leg_id := ksr.kx.get_callid() or ""):  # told once
        nodes.end_stage_leg(ksr, leg_id)
        answers.tell(ksr, leg_id)
        story.emergency(ksr, leg.told, ("answered", f"{way.trunk} {way.number}"), leg.number)


def on_failure(ksr: Ksr) -> None:
    """The way has failed: answer its challenge, take the next one, or let Asterisk tell the caller."""
    if not _goes_on(ksr):
        nodes.end_stage_leg(ksr, ksr.kx.get_callid() or "")
        tell_no_redirect(ksr)


def _goes_on(ksr: Ksr) -> bool:
    leg, way = _leg(ksr), _now(ksr)
    if trunk_branch.is_over(ksr):
        return False
    status = ksr.tm.t_get_status_code()
    silent = trunk_branch.was_silent(ksr)
    if trunk_branch.answer_challenge(ksr, _relaying(ksr), way.trunk, status):
        return True
    if trunk_branch.is_over(ksr):  # since it was asked; what tm does not send looks like a refusal
        return False
    why = "silent" if silent else "does not ring" if ksr.tm.t_branch_timeout() > 0 else f"answered {status}"
    story.emergency(ksr, leg.told, ("way_failed", f"{way.trunk} {way.number} {why}"))
    if status in _SAID_BY_CENTRE and not silent:
        return False
    # Under overload the centre's answer may wait at our own door: nobody is blamed for being silent then.
    if (silent and not admission.is_overloaded(ksr)) or (not silent and status >= _SERVER_FAILS):
        trunks.rest(ksr, way.trunk)
    if _try_next(ksr, leg):
        ksr.warn(f"emergency call: {way.trunk} {way.number} {why}, {_now(ksr).trunk} next; call_id={leg.call_id}\n")
        return True
    if not trunk_branch.is_over(ksr):
        ksr.err(f"emergency call: {way.trunk} {way.number} {why}, no way is left; call_id={leg.call_id}\n")
    return False
