"""One AGI connection from accept to close: the deadline and the only error boundary."""

from __future__ import annotations

import logging
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from agi_apps.agi_session import AgiSession, CallHungUp, ProtocolError
from agi_apps.application import Answer
from agi_apps.crm_client import CrmAway
from agi_apps.plan_lookup import NoPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agi_apps.application import Application, Services
    from agi_apps.deadlines import Deadlines, Turn
    from agi_apps.partings import Partings
    from agi_apps.variables import Variable

_log = logging.getLogger(__name__)

# Beside the application's own deadline: how long the peer may take for its environment and for reading our answer.
PEER_DEADLINE_S = 5.0
CALL_OVER = "the call was over"
TOO_LATE = "the answer came too late"
_FIRST_BYTES = 4_096
# Asterisk writes the environment line by line, twenty-odd writes within 0.2 ms, each a segment of its own as long as we
# acknowledge at once. With a small receive buffer (prefork.py) Linux does so for the first few only; then Nagle's
# algorithm gathers the lines at the sender, and after this moment one acknowledgement brings them all: 19 segments a
# connection instead of 45 (TCP_QUICKACK off at the listener was inherited by earlier kernels, not by 6.18).
_GATHER_S = 0.0005


# struct tcp_info of Linux (linux/tcp.h): tcpi_last_data_recv, milliseconds, 32 bits of the host's order.
_INFO_BYTES = 56
_LAST_DATA_RECV = slice(52, 56)


class Connections:
    """Serves connections of Asterisk, and `GET /health` on the same port."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        services: Services,
        health: Callable[[], bytes],
        deadlines: Deadlines,
        partings: Partings,
    ) -> None:
        self._applications = applications
        self._services = services
        self._health = health
        self._deadlines = deadlines
        self._partings = partings

    def serve(self, peer: socket.socket) -> None:
        """Serve one connection and close it, or leave that to the partings. Raises nothing."""
        parted = False
        turn = self._deadlines.begin(peer, PEER_DEADLINE_S)
        session: AgiSession | None = None
        try:
            time.sleep(_GATHER_S)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            first = peer.recv(_FIRST_BYTES)
            if first.startswith(b"GET "):
                peer.sendall(self._health())
            elif first:  # else a probe: connected and left
                session = AgiSession(peer, first)
                parted = self._run(session, turn)
        except (CallHungUp, ProtocolError, OSError) as error:
            if turn.expired or isinstance(error, BlockingIOError):
                _log.warning("[%s] AGI peer stalled; connection closed", _call_id(session))
            elif not isinstance(error, CallHungUp):  # a hang-up is normal
                _log.warning("[%s] AGI connection failed: %s", _call_id(session), error)
        except Exception:  # noqa: BLE001 - the boundary: a bug in one call disturbs no other
            # Closing without an answer leaves EP_DECISION=error, which the dialplan has preset.
            _log.exception("[%s] bug in an AGI application", _call_id(session))
        finally:
            self._deadlines.end(turn)
            if not parted:
                peer.close()

    def _run(self, session: AgiSession, turn: Turn) -> bool:
        """Run the application; whether the connection is left to the partings."""
        application, arguments = self._asked(session)
        services = self._services
        if (fresh_until_s := _check_wanted(application, session, turn.peer, arguments[0])) is not None:
            services = replace(services, is_fresh=lambda: time.monotonic() < fresh_until_s)

        def too_late() -> None:
            _log.error(
                "[%s] %s took longer than %s s and uses its fallback",
                arguments[0],
                application.name,
                application.deadline_s,
            )
            if application.fallback:
                _answer(session, application.fallback, arguments[0])

        late_s = time.monotonic() + application.deadline_s
        turn.expect(application.deadline_s, too_late)
        answer: Mapping[Variable, str] | Answer | None = application.fallback
        try:
            answer = application.run(arguments, services)
        except (NoPlan, CrmAway) as error:
            _log.warning("[%s] %s uses its fallback: %s", arguments[0], application.name, error)
        if turn.claim():
            turn.expect(PEER_DEADLINE_S)
            if isinstance(answer, Answer) and time.monotonic() > late_s:  # stood still: the watchdog comes second
                too_late()
                answer.told(TOO_LATE)
            elif isinstance(answer, Answer):
                _answer_and_tell(session, answer)
            elif answer:
                session.set_variables_at_last(answer)
                self._partings.add(turn.peer, arguments[0])
                return True
        else:
            if isinstance(answer, Answer):
                answer.told(TOO_LATE)
            turn.wait_for_late(PEER_DEADLINE_S)
        return False

    def _asked(self, session: AgiSession) -> tuple[Application, list[str]]:
        application = self._applications.get(session.application)
        if application is None:
            raise ProtocolError(f"no application {session.application!r}; there are {', '.join(self._applications)}")
        arguments = [_decoded(value) if "%" in value else value for value in session.arguments()]
        missing = len(application.arguments) - len(arguments)
        if not 0 <= missing <= application.added:
            expected = ", ".join(application.arguments)
            raise ProtocolError(f"{application.name} got {len(arguments)} arguments, takes {expected}")
        return application, arguments + [""] * missing


def _check_wanted(application: Application, session: AgiSession, peer: socket.socket, call_id: str) -> float | None:
    """Let nothing be begun that nobody waits for; until when it may be begun (monotonic seconds; None: no bound).

    Raises:
        CallHungUp: as far as this application is concerned.
    """
    if application.for_living_calls and session.is_over:
        raise CallHungUp("before it was asked")
    if application.fresh_s is None:
        return None
    now_s = time.monotonic()  # before the age is read: whoever stands still in between has less time left
    age_s = waited_s(peer)
    if age_s > application.fresh_s:
        _log.warning("[%s] %s was asked for %.1f s ago and is not begun", call_id, application.name, age_s)
        raise CallHungUp("long ago")
    return now_s + application.fresh_s - age_s


def waited_s(peer: socket.socket) -> float:
    """How long ago the last bytes came from a peer, also those that nobody has read yet: the kernel keeps count."""
    info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return int.from_bytes(info[_LAST_DATA_RECV], sys.byteorder) / 1_000


def _decoded(value: str) -> str:
    """URI-decoded; most Call-IDs have an `@` and nothing else that `unquote` is needed for, a key is `#` alone."""
    text = value.replace("%40", "@").replace("%23", "#")
    return unquote(text) if "%" in text else text


def _answer_and_tell(session: AgiSession, answer: Answer) -> None:
    """Set variables, then tell what that was good for: a channel that has hung up takes them, and runs nothing more."""
    arrived = False
    try:
        session.set_variables(answer.outputs)
        arrived = not session.is_over
    finally:
        answer.told("" if arrived else CALL_OVER)


def _answer(session: AgiSession, outputs: Mapping[Variable, str], call_id: str) -> None:
    try:
        session.set_variables(outputs)
    except (CallHungUp, ProtocolError, OSError) as error:
        _log.warning("[%s] the fallback did not arrive: %s", call_id, error)


def _call_id(session: AgiSession | None) -> str:
    return "-" if session is None else unquote(session.env.get("agi_arg_1", "-"))
