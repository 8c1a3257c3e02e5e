"""Which URIs lead to a node: told without DNS, which a stranger could make a worker wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import node_life

if TYPE_CHECKING:
    from tests.unit.kemi.fake_ksr import FakeKsr


@pytest.mark.parametrize(
    "uri", ["sip:127.0.0.21:5060", "sip:x@127.0.0.21:5060;lr", "sip:127.0.0.21", "sip:x@127.0.0.22;transport=udp"]
)
def test_a_nodes_address_is_a_node(fake: FakeKsr, uri: str) -> None:
    assert node_life.is_node(fake.ksr, uri)
    (asked,) = fake.called("dispatcher.ds_is_from_list_uri")
    assert asked[1:] == (2, f"sip:{node_life.name_of(uri)}"), "its port counts"


def test_an_address_of_nobody_is_none(fake: FakeKsr) -> None:
    assert not node_life.is_node(fake.ksr, "sip:10.0.0.1:5060")


@pytest.mark.parametrize(
    "uri",
    [
        "sip:x@n1.slow.example",
        "sip:x@999.0.0.1",
        "sip:127.0.0.21.slow.example:5060",
        "sip:x@127.0.0.21:5038;transport=tcp",
        "sip:x@127.0.0.21;Transport=TLS",
        "sip:x@127.0.0.21;lr;transport=tcp",
        "",
        "tel:112",
    ],
)
def test_a_name_is_never_looked_up_and_another_transport_is_no_node(fake: FakeKsr, uri: str) -> None:
    assert not node_life.is_node(fake.ksr, uri)
    assert not fake.called("dispatcher.ds_is_from_list_uri")
