"""How panels that keep access codes themselves are told them, by maker.

A code has a place on the panel, so that the old one stays beside the new one until it is taken away. Setting a place
twice, or clearing an empty one, does no harm: a command whose answer was lost is given again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlencode

from crm_api.adapters.panel_drivers import PanelHttp, PanelRefusedError, not_as_it_should

if TYPE_CHECKING:
    from crm_api.adapters.panel_drivers import PanelAccess
    from crm_api.domain.network_addresses import Networks


class PanelCodeDriver(Protocol):
    """Sets and clears codes on one maker's panels; raises `PanelRefusedError` unless the panel confirmed."""

    def set_code(self, access: PanelAccess, place: int, code: str) -> None:
        """Have the panel open to this code."""

    def clear_code(self, access: PanelAccess, place: int) -> None:
        """Have the panel forget what is at this place."""


class BewardCodes:
    """Beward DKS: a code belongs to an apartment, so the entrance's codes live at apartments that nobody dials.

    `apartment_cgi?action=set` with `DoorCodeActive=on` makes the panel open to `DoorCode`; handset and phones of that
    apartment are off (maker's HTTP interface, `apartment_cgi`).
    """

    FIRST_APARTMENT: Final = 9000

    def __init__(self, networks: Networks = ()) -> None:
        self._http = PanelHttp(networks)

    def set_code(self, access: PanelAccess, place: int, code: str) -> None:
        """Set the door code of the apartment that stands for the place."""
        self._do(access, {
            "action": "set", "Number": self.FIRST_APARTMENT + place, "DoorCodeActive": "on", "DoorCode": code,
            "BlockCMS": "on", "PhonesActive": "off",
        })  # fmt: skip

    def clear_code(self, access: PanelAccess, place: int) -> None:
        """Remove that apartment."""
        number = self.FIRST_APARTMENT + place
        self._do(access, {"action": "clear", "FirstNumber": number, "LastNumber": number})

    def _do(self, access: PanelAccess, command: dict[str, object]) -> None:
        # The code must not reach a log: errors name the command without its parameters.
        answer = self._http.get(
            access, f"/cgi-bin/apartment_cgi?{urlencode(command)}", "/cgi-bin/apartment_cgi"
        ).strip()
        if answer.upper() != "OK":
            raise PanelRefusedError(not_as_it_should(access, answer, "OK"))


def panel_code_drivers(networks: Networks = ()) -> dict[str, PanelCodeDriver]:
    """Return every driver under the name that panels have it by; `networks` as of `PanelHttp`."""
    return {"beward": BewardCodes(networks)}
