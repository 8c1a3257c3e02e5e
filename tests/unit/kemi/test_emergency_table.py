"""What the proxy knows of cities and panels: kept on disk, follows the CRM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kemi_routes import emergency_table, trunk_addresses, trunks
from kemi_routes.emergency_table import EmergencyKeeper, Place, Way
from tests.unit.kemi.emergency_town import CARRIER, LINE, SECOND, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.kemi.fake_ksr import FakeKsr


def test_the_table_is_there_again_after_a_restart_without_the_database(fake: FakeKsr, tmp_path: Path) -> None:
    fill(fake)
    trunks.TrunkKeeper().tick(fake.ksr)
    path = tmp_path / "emergency.json"
    EmergencyKeeper(str(path), "").tick(fake.ksr)
    assert path.stat().st_mode & 0o777 == 0o600, "trunks have passwords"
    fake.tables.clear()
    fake.database = None
    keeper = EmergencyKeeper(str(path), "")
    keeper.load(fake.ksr)
    keeper.tick(fake.ksr)
    assert emergency_table.place(fake.ksr, "p10001") == Place(
        "1", "Lenina 1", 2, "55755800", "37617300", ("112", "102", "911"), "ru"
    )
    city = emergency_table.city(fake.ksr, "")
    assert city is not None
    assert city.ways[0] == Way("city-line", "112", "asserted", sends_location=True)
    assert trunks.find(fake.ksr, "city-line") is not None
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.1") == "city-line"
    assert len([line for line in fake.logs if "database away" in line]) == 1


def test_the_new_password_of_a_trunk_is_kept_as_well(
    fake: FakeKsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(fake)
    trunks.TrunkKeeper().tick(fake.ksr)
    path = tmp_path / "emergency.json"
    monkeypatch.setattr(emergency_table, "_CITIES_EVERY_S", 0.0)
    keeper = EmergencyKeeper(str(path), "")
    keeper.tick(fake.ksr)
    fake.trunk_rows = [(*LINE[:3], "we", "realm", "1" * 32, *LINE[6:]), SECOND, CARRIER]
    trunks.TrunkKeeper().tick(fake.ksr)
    keeper.tick(fake.ksr)
    assert "1" * 32 in json.loads(path.read_text())["trunks"]["city-line"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_file_is_said_so_and_the_database_asked(fake: FakeKsr, tmp_path: Path, text: str) -> None:
    fill(fake)
    path = tmp_path / "emergency.json"
    path.write_text(text)
    keeper = EmergencyKeeper(str(path), "")
    keeper.load(fake.ksr)
    keeper.tick(fake.ksr)
    assert emergency_table.place(fake.ksr, "p10002") is not None
    assert any("cannot be read" in line for line in fake.logs)


def test_what_the_crm_removes_is_gone_here_too(known: FakeKsr, tmp_path: Path) -> None:
    keeper = EmergencyKeeper(str(tmp_path / "emergency.json"), "")
    keeper.tick(known.ksr)
    known.views["kamailio_emergency_panels"].pop()
    keeper._places_due = float("-inf")
    keeper.tick(known.ksr)
    assert emergency_table.place(known.ksr, "p10002") is None


def test_an_apartment_that_comes_to_be_takes_its_number_from_the_emergency_calls(
    known: FakeKsr, tmp_path: Path
) -> None:
    """The panel's own row is the same as before."""
    keeper = EmergencyKeeper(str(tmp_path / "emergency.json"), "")
    keeper.tick(known.ksr)
    known.views["kamailio_emergency_apartments"].append(("p10001", 102))
    keeper._places_due = float("-inf")
    keeper.tick(known.ksr)
    panel = emergency_table.place(known.ksr, "p10001")
    assert panel is not None
    assert panel.numbers == ("112", "911")


def test_a_panel_that_has_moved_is_known_although_the_database_went_away_meanwhile(
    known: FakeKsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in the first of two pages, the second of which never came."""
    monkeypatch.setattr(emergency_table, "_PAGE", 1)
    keeper = EmergencyKeeper(str(tmp_path / "emergency.json"), "")

    def read_page() -> None:
        keeper._places_due = float("-inf")
        keeper.tick(known.ksr)

    panels = known.views["kamailio_emergency_panels"]
    after = panels[:]
    for page in ([after[0]], [after[1]], []):
        known.views["kamailio_emergency_panels"] = page
        read_page()
    known.views["kamailio_emergency_panels"] = [moved := (*after[0][:2], "Sadovaya 9", *after[0][3:])]
    read_page()
    database, known.database = known.database, None
    read_page()
    known.database = database
    for page in ([moved], [after[1]], []):
        known.views["kamailio_emergency_panels"] = page
        read_page()
    panel = emergency_table.place(known.ksr, "p10001")
    assert panel is not None
    assert panel.address == "Sadovaya 9"


def test_an_sos_number_that_no_company_has_any_more_is_none(known: FakeKsr, tmp_path: Path) -> None:
    """It would keep calls to an apartment of that number past every limit until the next restart."""
    path = tmp_path / "emergency.json"
    keeper = EmergencyKeeper(str(path), "")
    keeper.load(known.ksr)
    assert emergency_table.is_sos(known.ksr, "911")
    panels = known.views["kamailio_emergency_panels"]
    panels[0] = (*panels[0][:7], "999", "ru")
    keeper.tick(known.ksr)
    assert emergency_table.is_sos(known.ksr, "999")
    assert not emergency_table.is_sos(known.ksr, "911")
    panels[0] = (*panels[0][:7], "", "ru")
    keeper._places_due = float("-inf")
    keeper.tick(known.ksr)
    assert not emergency_table.is_sos(known.ksr, "999")
    assert emergency_table.is_sos(known.ksr, emergency_table.TEST_NUMBER)
