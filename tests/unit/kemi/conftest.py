"""A fake KSR with the settings of the example file, and requests made from its message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kemi_routes import node_life, settings, trunks
from kemi_routes.changes import ChangeFollower
from kemi_routes.emergency_table import EmergencyKeeper
from kemi_routes.pipeline import Request
from tests.unit.kemi.emergency_town import fill
from tests.unit.kemi.fake_ksr import FakeKsr

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).resolve().parents[3] / "kamailio" / "kamailio-host.cfg.example"


def example_defines() -> dict[str, str]:
    """Names and values of kamailio-host.cfg.example."""
    text = EXAMPLE.read_text()
    found = dict(re.findall(r'^#!substdef "!(\w+)!([^!]*)!g"$', text, re.MULTILINE))
    found.update(re.findall(r"^#!define (\w+) (\S+)$", text, re.MULTILINE))
    return found


@pytest.fixture
def fake() -> FakeKsr:
    """Kamailio with two nodes up and nobody registered."""
    made = FakeKsr()
    made.defines = example_defines()
    return made


@pytest.fixture
def request_of() -> Callable[[FakeKsr], Request]:
    """Make the request of the fake's message, as router.py does."""

    def make(fake: FakeKsr) -> Request:
        message = fake.message
        return Request(
            settings.read(fake.ksr),
            message.method,
            message.call_id,
            message.source_ip,
            fake.user_host()[0],
            in_dialog=message.to_tag,
            from_node=fake.ksr.dispatcher.ds_is_from_list(node_life.SET) > 0,
        )

    return make


@pytest.fixture
def follower(tmp_path: Path) -> ChangeFollower:
    """Make one that starts on a host which has kept nothing."""
    return ChangeFollower("entryphone.test", str(tmp_path / "emergency.json"))


@pytest.fixture
def known(fake: FakeKsr, tmp_path: Path) -> FakeKsr:
    """Kamailio knows city, panels and trunks of emergency calls."""
    fill(fake)
    trunks.TrunkKeeper().tick(fake.ksr)
    EmergencyKeeper(str(tmp_path / "emergency.json"), "").tick(fake.ksr)
    return fake
