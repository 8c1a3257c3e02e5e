"""What takes too long is answered in its place, or cut off; each peer is answered once."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from agi_apps.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agi_apps.deadlines import Turn

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(name="pair")
def _pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(60)
        yield ours, theirs


def test_a_peer_that_stalls_is_cut_off(pair: Pair) -> None:
    deadlines = Deadlines()
    turn = deadlines.begin(pair[0], limit_s=-1.0)
    deadlines.enforce()
    assert turn.expired
    assert pair[1].recv(1) == b""


def test_who_is_in_time_is_left_alone(pair: Pair) -> None:
    deadlines = Deadlines()
    turn = deadlines.begin(pair[0], limit_s=60.0)
    deadlines.enforce()
    assert not turn.expired
    turn.expect(-1.0)
    deadlines.end(turn)
    deadlines.enforce()
    assert not turn.expired


def test_a_late_application_is_answered_for_once(pair: Pair) -> None:
    deadlines = Deadlines()
    turn = deadlines.begin(pair[0], limit_s=60.0)
    turn.expect(-1.0, lambda: pair[0].sendall(b"fallback"))
    deadlines.enforce()
    deadlines.enforce()
    assert not turn.claim()
    turn.wait_for_late(60)
    assert pair[1].recv(64) == b"fallback"
    assert pair[1].recv(64) == b""


def test_an_application_that_answers_first_keeps_its_answer(pair: Pair) -> None:
    deadlines = Deadlines()
    turn = deadlines.begin(pair[0], limit_s=60.0)
    turn.expect(-1.0, lambda: pair[0].sendall(b"fallback"))
    assert turn.claim()
    deadlines.enforce()
    pair[0].sendall(b"own")
    pair[0].shutdown(socket.SHUT_WR)
    assert pair[1].recv(64) == b"own"
    assert pair[1].recv(64) == b""


def test_however_they_meet_one_answers(pair: Pair) -> None:
    told: list[list[str]] = []
    others = set(threading.enumerate())
    for _ in range(200):
        answers: list[str] = []
        told.append(answers)
        deadlines = Deadlines()
        turn = deadlines.begin(pair[0], limit_s=60.0)
        turn.expect(-1.0, lambda: answers.append("late"))  # noqa: B023 - called in this turn
        start = threading.Barrier(2)

        def application(turn: Turn = turn, answers: list[str] = answers, start: threading.Barrier = start) -> None:
            start.wait(60)
            if turn.claim():
                answers.append("own")
            else:
                turn.wait_for_late(60)

        thread = threading.Thread(target=application)
        thread.start()
        start.wait(60)
        deadlines.enforce()
        thread.join(60)
    for thread in set(threading.enumerate()) - others:  # whoever still answers late
        thread.join(60)
    assert {len(answers) for answers in told} == {1}
