"""The routes: which steps a request passes, in order, and the callbacks by the names that Kamailio knows."""

from __future__ import annotations

import functools
import gc
import traceback
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec

from kemi_routes import (
    admission,
    call_backs,
    challenges,
    changes,
    checks,
    contact_answers,
    contacts_database,
    dialogs,
    digest,
    emergency_calls,
    emergency_table,
    ending,
    flood,
    foreign_text,
    headers,
    late_cancels,
    late_ringing,
    node_life,
    nodes,
    panel_calls,
    probe_calls,
    refreshes,
    registration,
    settings,
    stage_calls,
    stray_replies,
    streams,
    trunk_addresses,
    trunk_calls,
    voice_calls,
    voice_wishes,
    waking,
)
from kemi_routes.pipeline import DONE, NEXT, Refusal, Request, run
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Step

_Args = ParamSpec("_Args")


def answer_registration(ksr: Ksr, request: Request) -> Outcome:
    """REGISTER ends here."""
    if request.method != "REGISTER":
        return NEXT
    run(REGISTRATION, ksr, request)
    return DONE


def answer_asterisk(ksr: Ksr, request: Request) -> Outcome:
    """What an Asterisk node begins: the INVITE of a stage, of a phone, or to a dispatch centre."""
    if not request.from_node:
        return NEXT
    if step := OF_ASTERISK.get(request.number):
        return step(ksr, request)
    if ksr.hdr.is_present(headers.EMERGENCY) > 0:
        return emergency_calls.ring_centre(ksr, request)
    if ksr.hdr.is_present(headers.TRUNK) > 0:
        return trunk_calls.ring_phone(ksr, request)
    return refuse(ksr, request, Refusal(404, "Not Here", "Asterisk may only call a stage, a probe or a phone"))


def answer_trunk(ksr: Ksr, request: Request) -> Outcome:
    """A call from a trunk: it brings a phone that has answered, or it calls back; it needs no password."""
    if voice_calls.join(ksr, request) is DONE:
        return DONE
    if call_backs.take(ksr, request) is DONE:
        return DONE
    if request.kind != call_backs.KIND:
        return NEXT
    return panel_calls.send_to_node(ksr, request)


OF_ASTERISK: Final[dict[str, Step]] = {
    stage_calls.USER: stage_calls.ring_stage,
    call_backs.END_TALK: call_backs.end_talk,
    probe_calls.USER: probe_calls.ring_handset,
    nodes.STARTED: nodes.has_started,
}

REGISTRATION: tuple[Step, ...] = (
    digest.authenticate,
    registration.save_contacts,
)

REQUEST: tuple[Step, ...] = (
    checks.answer_where_it_sends_from,
    checks.check_size,
    checks.check_form,
    checks.check_hops,
    dialogs.absorb_double,
    checks.strip_foreign_headers,
    dialogs.pass_cancel,
    dialogs.pass_ack,
    dialogs.pass_in_dialog,
    flood.check_barred,
    dialogs.absorb_retransmission,
    checks.check_destination,
    checks.check_method,
    answer_registration,
    answer_asterisk,
    answer_trunk,
    admission.check_load,
    digest.authenticate,
    panel_calls.check_permission,
    emergency_calls.mark,
    admission.take_token,
    panel_calls.send_to_node,
)


# Callbacks of replies that go on to somebody when the callback is over.
_REPLIES: Final = frozenset(
    ("on_panel_reply", "on_stage_reply", "on_dialog_reply", "on_trunk_reply", "on_emergency_reply")
)


def guard(
    callback: Callable[Concatenate[Router, _Args], None],
) -> Callable[Concatenate[Router, _Args], int]:
    """Guard a callback: an exception is one log line with the Call-ID, and 500 where a reply is legal.

    A reply goes on all the same, so that the call does, but says nothing in our name: no door opens by it.

    app_python3 itself would log a traceback of many lines and send nothing (cookbook 1.3).
    """

    @functools.wraps(callback)
    def guarded(self: Router, /, *args: _Args.args, **kwargs: _Args.kwargs) -> int:
        try:
            callback(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - this is the one error boundary
            self.failed(callback.__name__, error)
        return 1

    return guarded


class Router:
    """Object whose methods are Kamailio's routes. One in each process, after `child_init`."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._settings = settings.read(ksr)
        self._changes = changes.ChangeFollower(self._settings.domain, self._settings.emergency_file)
        story = streams.RedisStream(self._settings.redis_url)
        self._story = streams.StoryShipper(story)
        self._contacts = contact_answers.ContactAnswerer(story, self._settings.domain)
        self._voice = voice_wishes.VoiceShipper(streams.RedisStream(self._settings.redis_url))
        self._ending = ending.Ending()
        self._hearing = node_life.Hearing()
        self._nodes = nodes.NodeWatch(self._settings, (waking.close, voice_calls.close))
        self._setups = admission.SetupWatch(self._settings)
        self._emergency = emergency_table.EmergencyKeeper(self._settings.emergency_file, self._settings.default_city)
        self._names = trunk_addresses.NameWatch()
        self._late_ringing = late_ringing.LateRinging(self._settings)
        self._late_cancels = late_cancels.LateCancels()
        self._refreshes = refreshes.RefreshWriter(self._settings.location_url)

    def load(self) -> None:
        """Take what this host has kept, before the fork."""
        self._emergency.load(self._ksr)

    def child_init(self, rank: int) -> int:
        """Called in every process after the fork. Connections of ours are opened where they are used, at first use."""
        contacts_database.prepare(self._ksr, rank, self._settings.location_url)
        # What is there now lives as long as the process: never looked through again, and its pages stay shared.
        gc.freeze()
        return 0

    @guard
    def ksr_request_route(self, _message: object) -> None:
        """Every request."""
        ksr = self._ksr
        kx = ksr.kx
        request = Request(
            self._settings,
            kx.get_method() or "",
            kx.get_callid() or "",
            kx.get_srcip() or "",
            kx.gete_ruser(),
            in_dialog=ksr.siputils.has_totag() > 0,
            from_node=ksr.dispatcher.ds_is_from_list(node_life.SET) > 0,
        )
        if request.may_be_sos and emergency_table.is_sos(ksr, request.number):
            request.emergency = True
        if request.from_node:
            self._hearing.note(ksr, request.source_ip)
        run(REQUEST, ksr, request)

    @guard
    def ksr_reply_route(self, _message: object) -> None:
        """Every reply, before tm has it."""
        if checks.drop_forged_reply(self._ksr, self._settings) is NEXT and late_ringing.is_ringing(self._ksr):
            late_ringing.keep(self._ksr, self._settings)

    @guard
    def on_stray_reply(self, _message: object, _event: str = "") -> None:
        """A reply to nothing that we have sent, or not any more."""
        stray_replies.judge(self._ksr, self._settings)

    @guard
    def on_panel_reply(self, _message: object) -> None:
        """Replies of a node to a device's call."""
        self._hearing.note(self._ksr, self._ksr.kx.get_srcip() or "")
        panel_calls.on_reply(self._ksr, self._settings)

    @guard
    def on_panel_failure(self, _message: object) -> None:
        """A device's call has failed at its node."""
        panel_calls.on_failure(self._ksr, self._settings)

    @guard
    def on_stage_reply(self, _message: object) -> None:
        """Replies of devices to a stage."""
        stage_calls.on_reply(self._ksr, self._settings)

    @guard
    def on_stage_failure(self, _message: object) -> None:
        """No device of a stage has answered."""
        stage_calls.on_failure(self._ksr, self._settings)

    @guard
    def on_probe_failure(self, _message: object) -> None:
        """The panel of a probe has refused."""
        probe_calls.on_failure(self._ksr)

    @guard
    def on_stage_resume(self, _message: object) -> None:
        """An app has woken for a stage in which nobody rings."""
        stage_calls.on_resume(self._ksr, self._settings)

    @guard
    def on_dialog_reply(self, _message: object) -> None:
        """Replies of devices to what changes a session."""
        dialogs.on_reply(self._ksr)

    @guard
    def on_trunk_branch(self, _message: object) -> None:
        """A phone's INVITE on its way to a trunk."""
        trunk_calls.on_branch(self._ksr, self._settings)

    @guard
    def on_trunk_reply(self, _message: object) -> None:
        """Replies of a trunk."""
        trunk_calls.on_reply(self._ksr, self._settings)

    @guard
    def on_trunk_failure(self, _message: object) -> None:
        """A trunk has refused a phone's INVITE."""
        trunk_calls.on_failure(self._ksr)

    @guard
    def on_voice_resume(self, _message: object) -> None:
        """A phone that a voice API was to call does not answer."""
        trunk_calls.on_resume(self._ksr)

    @guard
    def on_emergency_branch(self, _message: object) -> None:
        """An emergency call on its way to a trunk."""
        emergency_calls.on_branch(self._ksr, self._settings)

    @guard
    def on_emergency_reply(self, _message: object) -> None:
        """Replies of a dispatch centre."""
        emergency_calls.on_reply(self._ksr, self._settings)

    @guard
    def on_emergency_failure(self, _message: object) -> None:
        """A way to a dispatch centre has failed."""
        emergency_calls.on_failure(self._ksr)

    @guard
    def on_node_event(self, _message: object, event: str = "") -> None:
        """The dispatcher has found a node dead or alive."""
        nodes.node_event(self._ksr, event)

    @guard
    def on_changes_tick(self, _message: object, _event: str = "") -> None:
        """Every 250 ms, in the process of the rtimer `changes`."""
        self._changes.tick(self._ksr)
        self._emergency.tick(self._ksr)
        voice_calls.tick(self._ksr)

    @guard
    def on_story_tick(self, _message: object, _event: str = "") -> None:
        """Every 100 ms, in the process of the rtimer `story`."""
        self._ending.watch()
        try:
            self._story.tick(self._ksr)
            self._voice.tick(self._ksr)
            self._contacts.tick(self._ksr)
        finally:
            self._ending.leave_if_come()

    @guard
    def on_nodes_tick(self, _message: object, _event: str = "") -> None:
        """Every 100 ms, in the process of the rtimer `nodes`."""
        self._nodes.tick(self._ksr)
        self._setups.tick(self._ksr)
        self._late_ringing.tick(self._ksr)
        self._late_cancels.tick(self._ksr)

    @guard
    def on_names_tick(self, _message: object, _event: str = "") -> None:
        """Every 100 ms, in the process of the rtimer `names`: it waits for DNS for as long as that takes."""
        self._names.tick(self._ksr)

    @guard
    def on_contacts_tick(self, _message: object, _event: str = "") -> None:
        """Every second, in the process of the rtimer `contacts`."""
        challenges.tell_unanswered(self._ksr)
        self._refreshes.tick(self._ksr)
        contacts_database.copy_back(self._ksr, self._settings.location_url)

    def failed(self, callback: str, error: Exception) -> None:
        """Make safe what a callback has left by an exception, log it, and answer where that is legal.

        The answer is 500, or 400 to a request with text that is not UTF-8.
        """
        ksr = self._ksr
        if callback in _REPLIES:
            headers.remove_private(ksr)
        elif callback == "on_stray_reply":
            ksr.set_drop()
        where = " | ".join(traceback.format_exception(error)[-2:]).replace("\n", " | ")
        line = f"exception in {callback}; call_id={foreign_text.read(ksr, '$ci') or '-'}: {where}"
        ksr.err(line.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00") + "\n")
        if callback == "on_panel_failure":
            ksr.tm.t_reply(500, "Internal Error")
        elif callback == "ksr_request_route" and not ksr.is_ACK():
            if isinstance(error, UnicodeDecodeError):
                ksr.sl.send_reply(400, "Bad Request: not UTF-8")
            else:
                ksr.sl.send_reply(500, "Internal Error")


def build(ksr: Ksr, *, first: bool) -> Router:
    """Make the routes; called by entry.py, the first time in the main process before the fork."""
    if first:
        refreshes.take_over(ksr, settings.read(ksr).location_url)
    router = Router(ksr)
    if first:
        router.load()
    return router
