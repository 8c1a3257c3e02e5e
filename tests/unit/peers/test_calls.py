"""Two scripted peers call each other without a proxy: dialog, keys, CANCEL and refusal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from lab.peers.digest import Credentials
from lab.peers.message import SipMessage
from lab.peers.scripted import ScriptedPeer, SipServer

_CALLER = Credentials("p1", "secret")
Story = Callable[[ScriptedPeer, ScriptedPeer], Awaitable[None]]


def _play(story: Story) -> None:
    async def run() -> None:
        nowhere = SipServer("127.0.0.1", "entryphone.test", 9)
        async with await ScriptedPeer.open(nowhere, "127.0.0.1", 0) as callee:
            towards = SipServer("127.0.0.1", "entryphone.test", callee.socket.port)
            async with await ScriptedPeer.open(towards, "127.0.0.1", 0) as caller:
                callee.socket.server = ("127.0.0.1", caller.socket.port)
                await story(caller, callee)

    asyncio.run(run())


def test_a_whole_call() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        placing = asyncio.create_task(caller.call(_CALLER, "12"))
        ring = await callee.incoming("12")
        ring.ring()
        call = await placing
        await call.ringing()
        ring.answer()
        await call.answered()
        await ring.established()
        await ring.rtp.press("#", 60)
        await call.rtp.wait_for_key("#", 60)
        assert await ring.info("5") == 200
        assert (await call.wait_request("INFO", 60)).message.body.startswith(b"Signal=5")
        assert (await call.reinvite(call.describe())).status == 200
        assert await call.bye() == 200
        await ring.wait_request("BYE", 60)
        assert ring.ended

    _play(story)


@pytest.mark.parametrize(
    ("reason", "elsewhere"),
    [('SIP ;cause=200 ;text="Call completed elsewhere"', True), ("Q.850;cause=26", True), ("Q.850;cause=127", False)],
)
def test_a_cancel_says_why(reason: str, *, elsewhere: bool) -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        placing = asyncio.create_task(caller.call(_CALLER, "12"))
        ring = await callee.incoming()
        ring.ring()
        call = await placing
        assert (await call.cancel()).status == 487
        await ring.wait_cancelled()
        assert not ring.answered_elsewhere
        assert ring.cancelled is not None
        ring.cancelled.message.add("Reason", reason)
        assert ring.answered_elsewhere is elsewhere

    _play(story)


def test_a_refusal_is_acknowledged_once_and_not_resent() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        placing = asyncio.create_task(caller.call(_CALLER, "12"))
        (await callee.incoming()).reject(603)
        assert (await (await placing).final()).status == 603
        await callee.socket.wait_received(lambda got: got.method == "ACK", 60, "ACK")

    _play(story)


def test_a_retransmitted_invite_rings_once() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        placing = asyncio.create_task(caller.call(_CALLER, "12"))
        ring = await callee.incoming()
        caller.socket.send_bytes(ring.received.data)
        ring.ring()
        call = await placing
        caller.socket.send_bytes(ring.received.data)  # answered with the stored 180
        await call.cancel()
        assert len(callee.ringing) == 1

    _play(story)


def test_waiting_in_vain_says_for_what() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        del caller
        with pytest.raises(TimeoutError, match="no call rang h1"):
            await callee.incoming("h1", timeout_s=0.05)

    _play(story)


def test_a_peer_that_looks_late_knows_when_a_message_came() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        caller.socket.send_bytes(caller.request("OPTIONS", "sip:entryphone.test", "p1").encode())
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is busy, and the message waits in the kernel
        looked_s = time.monotonic()
        await callee.socket.watch.until(lambda: bool(callee.socket.received), 60, lambda: "nothing came")
        assert callee.socket.received[0].at_s < looked_s

    _play(story)


def test_a_server_takes_what_comes_again_with_no_higher_number_for_a_loop() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        callee.is_one_server = True
        invite = caller.request("INVITE", "sip:12@entryphone.test", "p1")
        transactions = []
        for number in (5, 5, 4, 6):
            invite.replace("CSeq", f"{number} INVITE")
            transactions.append(caller.socket.send_request(SipMessage(invite.start_line, list(invite.headers))))
        for transaction in transactions[1:3]:
            assert (await transaction.wait_final(60)).status == 482
        await callee.socket.wait_received(lambda got: got.method == "INVITE" and got.cseq == 6, 60, "the last INVITE")
        assert [call.invite.cseq for call in callee.ringing] == [5, 6]

    _play(story)


def test_an_ack_of_another_number_is_none_and_numbers_grow() -> None:
    async def story(caller: ScriptedPeer, callee: ScriptedPeer) -> None:
        placing = asyncio.create_task(caller.call(_CALLER, "12"))
        ring = await callee.incoming()
        ring.answer()
        call = await placing
        await call.answered()
        await ring.established()
        wrong = call.request("ACK")
        wrong.replace("CSeq", f"{ring.invite.cseq + 7} ACK")
        caller.socket.send_request(wrong)
        old = call.request("INFO")
        old.replace("CSeq", f"{ring.invite.cseq} INFO")
        assert (await caller.socket.send_request(old).wait_final(60)).status == 500
        # More than one on a busy machine: an answer that is repeated is acknowledged again.
        assert {(got.message.method, got.message.cseq) for got in ring.requests} == {("ACK", ring.invite.cseq)}
        assert await call.bye() == 200

    _play(story)
