"""What panels are asked before a probe, against the simulated Beward panel, which knows no other commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from crm_api.adapters.panel_drivers import PanelAccess, PanelRefusedError
from crm_api.adapters.panel_handsets import BewardHandsets, GenericHandsets, PanelSaid, panel_handsets
from crm_api.domain.network_addresses import networks_of
from kemi_routes.headers import IN_HEADER, IN_USER
from lab.peers.door import Door
from lab.peers.relay import HttpRelay

if TYPE_CHECKING:
    from collections.abc import Callable


def look(apartment: str, spoil: Callable[[HttpRelay], None] = lambda _: None, password: str = "secret") -> PanelSaid:
    async def run() -> PanelSaid:
        panel = await HttpRelay.start(Door("1"), "127.0.0.1", "admin", "secret", port=0)
        spoil(panel)
        try:
            access = PanelAccess(f"127.0.0.1:{panel.port}", "admin", password)
            return await asyncio.to_thread(BewardHandsets(networks_of(["127.0.0.0/8"])).look, access, apartment)
        finally:
            await panel.stop()

    return asyncio.run(run())


def test_a_panel_that_is_ready_tells_the_level_of_the_line() -> None:
    assert look("12") == PanelSaid(None, 512)


def test_a_panel_that_is_not_registered_says_so() -> None:
    said = look("12", lambda panel: setattr(panel, "registered", False))
    assert "not registered" in (said.problem or "")
    assert said.line_level is None


@pytest.mark.parametrize(
    ("spoil", "password", "reason"),
    [
        (lambda panel: setattr(panel, "fault", "refuses"), "secret", "500"),
        (lambda panel: setattr(panel, "line_level", "n/a"), "secret", "instead of a line level"),
        (lambda _: None, "wrong", "401"),
    ],
)
def test_a_panel_that_does_not_answer_as_it_should_is_refused(
    spoil: Callable[[HttpRelay], None], password: str, reason: str
) -> None:
    with pytest.raises(PanelRefusedError, match=reason):
        look("12", spoil, password)


def test_makers_name_the_apartment_in_ways_that_kamailio_knows() -> None:
    assert {driver.naming for driver in panel_handsets().values()} == {IN_HEADER, IN_USER}
    assert not GenericHandsets().asks
