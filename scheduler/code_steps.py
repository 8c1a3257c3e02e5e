"""Renewed codes on their way: to panels, at a set rate, and to residents."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.panel_drivers import PanelRefusedError
from crm_api.services.panel_codes import Outcome

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from crm_api.adapters.messages import Messenger
    from crm_api.adapters.panel_code_drivers import PanelCodeDriver
    from crm_api.services.code_notices import CodeNotices
    from crm_api.services.panel_codes import Errand, PanelCodes

AT_ONCE: Final = 64
"""Panels spoken to beside one another: one that is silent holds a place for three seconds."""
STRETCH_S: Final = 2.0
"""Work between two looks at the database."""
TURN_S: Final = 10.0
SWEEP_EVERY_S: Final = 5.0
NOTICES: Final = 200
SENT_AT_ONCE: Final = 16
"""Messages on their way beside one another: one that is not answered holds a place for twenty seconds."""

_log = structlog.get_logger("scheduler.codes")


class TellPanels:
    """Tells panels their codes, at most `per_s` commands a second; who does not answer is told again later."""

    name = "codes to panels"

    def __init__(self, codes: PanelCodes, drivers: Mapping[str, PanelCodeDriver], per_s: float) -> None:
        self._codes = codes
        self._drivers = drivers
        self._per_s = per_s
        self._swept_s = -SWEEP_EVERY_S
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Say whether a panel has to be told something, or it has to be decided what."""
        return self._is_sweep_due() or self._codes.is_any_due()

    def step(self, stopped: threading.Event) -> None:
        """Decide now and then what should be where, then tell what is due."""
        if self._is_sweep_due():
            self._codes.sweep()
            self._swept_s = time.monotonic()
        until_s = time.monotonic() + TURN_S
        while time.monotonic() < until_s and not stopped.is_set() and self._stretch(stopped):
            pass

    def _is_sweep_due(self) -> bool:
        return time.monotonic() - self._swept_s >= SWEEP_EVERY_S

    def _stretch(self, stopped: threading.Event) -> bool:
        """Tell what is due, as much as fits a stretch; say whether there was anything."""
        errands = self._codes.due(max(1, int(self._per_s * STRETCH_S)))
        if not errands:
            return False
        with ThreadPoolExecutor(AT_ONCE, "panel") as threads:
            told = []
            for errand in errands:
                self._next_s = max(self._next_s + 1 / self._per_s, time.monotonic() - 1 / self._per_s)
                if stopped.wait(max(0.0, self._next_s - time.monotonic())):
                    break
                told.append(threads.submit(self._tell, errand))
            self._codes.settle([future.result() for future in told])
        return True

    def _tell(self, errand: Errand) -> Outcome:
        driver = self._drivers.get(errand.driver)
        if errand.access is None or driver is None:
            return Outcome(errand, errand.problem or f"no driver {errand.driver} that keeps codes")
        try:
            if errand.wanted == "present":
                driver.set_code(errand.access, errand.place, errand.code)
            else:
                driver.clear_code(errand.access, errand.place)
        except PanelRefusedError as error:
            return Outcome(errand, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a driver may raise
            # One panel that its driver cannot cope with must not keep every other from its code.
            _log.exception("a panel could not be told", panel=errand.access.address)
            return Outcome(errand, f"the panel could not be told: {type(error).__name__}")
        return Outcome(errand)


class TellResidents:
    """Tells residents their new codes, at waking hours."""

    name = "codes to residents"

    def __init__(self, notices: CodeNotices, messengers: Mapping[str, Messenger]) -> None:
        self._notices = notices
        self._messengers = messengers

    def is_due(self) -> bool:
        """Say whether there is a code to tell of, or a message to send."""
        return self._notices.is_any_due()

    def step(self, stopped: threading.Event) -> None:
        """Write what is to be told, and send."""
        while self._notices.prepare() and not stopped.is_set():
            pass
        while not stopped.is_set() and self._notices.send(self._messengers, NOTICES, SENT_AT_ONCE) == NOTICES:
            pass
