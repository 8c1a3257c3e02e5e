"""Keys that open nothing. Beside `ordinary`, which the records of calls need themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sip.records import record_with_keys

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.scene import Scene


async def the_key_is_refused(scene: Scene, call: OutgoingCall, ring: IncomingCall) -> None:
    """`#` is answered by a voice in the resident's ear, no command to the panel, and a record of the refusal."""
    await ring.rtp.wait_for_sound(3)
    call.rtp.hush()  # so that whatever the resident hears from now on is the platform's
    await ring.rtp.quiet(0.3)
    heard_before = ring.rtp.audible_packets

    await ring.rtp.press("#")
    await ring.rtp.wait_for_sound(3, packets=heard_before + 20)

    await ring.bye()
    record = await record_with_keys(scene, call.call_id)
    assert call.rtp.keys == []
    assert [door["result"] for door in record["access_records"]] == ["refused"]
    assert record["access_records"][0]["reason"]
