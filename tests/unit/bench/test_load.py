from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.bench.bench_town import make_households
from lab.bench.load import RingAllRun
from lab.bench.population import ROLES, handset_address, panel_address, write_panels, write_registrations

if TYPE_CHECKING:
    from pathlib import Path


def _clean() -> RingAllRun:
    return RingAllRun(
        100, 1000, completed=1000, achieved_cps=99.5, rung=dict.fromkeys(ROLES, 1000), answered=1000, keys=1000,
        cancelled=2000,
    )  # fmt: skip


def test_none_failed_means_all_of_it() -> None:
    assert _clean().clean


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("completed", 999),
        ("failed", 1),
        ("answered", 999),
        ("keys", 999),
        ("cancelled", 1998),
        ("rung", {"a": 1000, "b": 1000, "c": 999}),
        ("rung", {"a": 1001, "b": 1000, "c": 1000}),
        ("achieved_cps", 90.0),
    ],
)
def test_anything_less_is_a_failure(name: str, value: object) -> None:
    run = _clean()
    setattr(run, name, value)
    assert not run.clean


def test_load_generators_are_no_server_cpu() -> None:
    run = _clean()
    run.cpu_ms = {"kamailio": 2000.0, "load": 5000.0}
    assert run.cpu_ms_per_call == {"kamailio": 2.0}


def test_every_device_has_an_address_of_its_own() -> None:
    addresses = [panel_address(index) for index in range(2068)]
    addresses += [handset_address(role, index) for role in ROLES for index in range(2068)]
    assert len(set(addresses)) == 4 * 2068


def test_injection_files(tmp_path: Path) -> None:
    households = make_households(2)
    write_panels(tmp_path / "p", households, "entryphone.test")
    assert (tmp_path / "p").read_text().splitlines()[1] == ("bp00000;panel-password-00000;1;127.1.0.1;entryphone.test;")
    write_registrations(tmp_path / "r", households, "b", "entryphone.test", shared=True)
    assert (tmp_path / "r").read_text().splitlines()[2] == (
        "bp00001;panel-password-00001;bh00001b;127.3.0.2;entryphone.test;"
    )
