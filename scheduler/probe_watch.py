"""Looks for visitors on the panels of probes, in a thread of its own: nothing else that is done may delay a visitor.

Kamailio ends such a probe too (kemi_routes/probe_calls.py), most often sooner; here it also ends when nobody can tell
whose the panel is, and when Kamailio was started anew since.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from scheduler.asterisk_manager import AsteriskAwayError

if TYPE_CHECKING:
    from scheduler.panel_lines import PanelLines
    from scheduler.probe_loading import Running

LOOK_S: Final = 0.1
"""How often it is looked."""
SORRY_S: Final = 0.5
"""How long the resident hears why, before the panel is the visitor's."""

MADE_S: Final = 1.0
"""A channel that is not there so long after Asterisk was told to call is over."""

_log = structlog.get_logger("scheduler.probes")


class Watch:
    """Ends every probe whose panel somebody else wants; the runner settles what has ended.

    Args:
        lines: who has which panel.
    """

    def __init__(self, lines: PanelLines) -> None:
        self._lines = lines
        self._watched: dict[int, Running] = {}
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, running: Running) -> None:
        """Watch a probe from now on."""
        self._watched[running.call_id] = running
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._go_on, name="probe watch", daemon=True)
            self._thread.start()

    def end(self, running: Running) -> None:
        """Watch it no longer."""
        self._watched.pop(running.call_id, None)

    def look(self) -> None:
        """Look once."""
        with self._looking:
            watched = list(self._watched.values())
            lost = self._lines.lost([(one.candidate.panel, str(one.call_id)) for one in watched])
            for running in watched:
                if str(running.call_id) in lost:
                    self._give_way(running)

    def _go_on(self) -> None:
        while self._watched:
            self.look()
            time.sleep(LOOK_S)

    @staticmethod
    def _give_way(running: Running) -> None:
        """Say sorry, then hang up; a call that has not begun yet only does not begin."""
        with running.speaking:
            now_s = time.monotonic()
            if not running.dropped:
                running.dropped, running.dropped_s = True, now_s
                if running.originated_s is not None:
                    try:
                        # Kamailio may have told the node already: it is said once.
                        if not running.node.variable(running.channel, "EP_GAVE_WAY"):
                            running.node.redirect(running.channel, "probe,sorry")
                    except AsteriskAwayError:
                        running.dropped_s = 0.0  # not answered yet: it hears no apology
            if running.gave_way or now_s - running.dropped_s < SORRY_S:
                return
            there = False
            try:
                there = running.originated_s is None or running.node.hang_up(running.channel)
            except AsteriskAwayError as error:
                _log.error("probe could not be hung up", probe=running.call_id, reason=str(error))
            # Asterisk makes a channel some time after it has promised to.
            running.gave_way = there or now_s - (running.originated_s or 0.0) > MADE_S
