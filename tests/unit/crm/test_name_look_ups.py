"""Look-ups of names that hang hold up their owner alone."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from crm_api.adapters import customer_posts
from crm_api.adapters.customer_posts import NotAnsweredError, OutsideOnly, post
from crm_api.adapters.name_look_ups import NameLookUps, TooManyLookUpsError

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTSIDE = "93.184.215.14"
LONGEST_S = 5.0


class Dns:
    """Answers at once, but for names of `hangs.example`: these when `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, *_: Any, **__: Any) -> Any:
        self.asked.append(host)
        if host.endswith("hangs.example"):
            self.answers.wait(LONGEST_S)
            raise socket.gaierror("no name server answers")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (OUTSIDE, 0))]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    there = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", there)
    yield there
    there.answers.set()


@pytest.mark.usefixtures("dns")
def test_names_that_hang_keep_nobody_elses_post_and_no_pass_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customer_posts, "LOOK_UP_S", 0.2)
    monkeypatch.setattr(customer_posts, "LASTS_S", 1.0)

    async def one(client: httpx.AsyncClient, url: str) -> str:
        try:
            await post(client, url, b"{}", {})
        except NotAnsweredError as error:
            return str(error)
        return "posted"

    async def one_pass() -> list[str]:
        async with httpx.AsyncClient(
            transport=OutsideOnly(httpx.MockTransport(lambda _: httpx.Response(204)))
        ) as client:
            urls = [f"https://w{number}.hangs.example/" for number in range(10)]
            return list(await asyncio.gather(*(one(client, url) for url in [*urls, "https://crm.other.example/"])))

    *hung, other = asyncio.run(one_pass())
    assert other == "posted"
    assert all("DNS says nothing" in told for told in hung)


def test_a_name_that_hangs_is_looked_up_once(dns: Dns) -> None:
    look_ups = NameLookUps(2)
    first = look_ups.begin("a.hangs.example", 1)
    assert look_ups.begin("a.hangs.example", 1) is first
    assert look_ups.begin("a.hangs.example", 2) is not first
    dns.answers.set()
    with pytest.raises(socket.gaierror):
        first.result(LONGEST_S)
    assert dns.asked == ["a.hangs.example"] * 2


def test_names_that_hang_take_the_room_of_their_owner_alone(dns: Dns) -> None:
    look_ups = NameLookUps(2)
    hung = [look_ups.begin(f"{name}.hangs.example", 1) for name in "ab"]
    with pytest.raises(TooManyLookUpsError):
        look_ups.begin("c.hangs.example", 1)
    assert look_ups.begin("crm.other.example", 2).result(LONGEST_S) == [OUTSIDE]
    dns.answers.set()
    for looking in hung:
        with pytest.raises(socket.gaierror):
            looking.result(LONGEST_S)
    assert look_ups.begin("crm.one.example", 1).result(LONGEST_S) == [OUTSIDE]


def test_a_machine_without_threads_is_told_and_asked_again_later(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    look_ups = NameLookUps(2)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(TooManyLookUpsError):
            look_ups.begin("crm.other.example", 1).result(LONGEST_S)
    assert look_ups.begin("crm.other.example", 1).result(LONGEST_S) == [OUTSIDE]
    assert dns.asked == ["crm.other.example"]
