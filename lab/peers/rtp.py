"""One RTP stream of a scripted peer: sends a tone, presses keys, and keeps what it hears (RFC 3550, RFC 4733)."""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from lab.peers import g711, sdp
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = "0123456789*#ABCD"
FRAME_S, FRAME_SAMPLES = 0.02, 160
AUDIBLE = 200.0  # RMS above which a frame is a sound and not comfort noise or silence
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_END_BIT = 0x80
_END_REPEATS = 3  # RFC 4733 section 2.5.1.4
_STALLS_AFTER = 3  # packets of a key
_VOLUME_DBM0 = 10
_tone = g711.tone(425)


@dataclass(frozen=True)
class KeyPress:
    """A key heard in the stream: which, and when (monotonic seconds) it began and was first known to have ended."""

    key: str
    began_s: float
    ended_s: float


class RtpStream(asyncio.DatagramProtocol):
    """A UDP socket that speaks RTP. Made by `open_stream`."""

    def __init__(self) -> None:
        self.keys: list[KeyPress] = []
        self.packets = 0
        self.payloads: set[bytes] = set()
        """What came of `send_packet`s: payloads of other types than the telephone's own (pictures, Opus, G.722)."""
        self.audible_packets = 0
        self.first_audible_s: float | None = None
        self.last_packet_s: float | None = None
        self.speaks: Literal["mu-law", "A-law"] = "mu-law"
        """What the tone is sent in."""
        self._watch = Watch()
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: tuple[str, int] | None = None
        self._event_type: int | None = None
        self._began: dict[int, float] = {}
        self._ended: set[int] = set()
        self._sequence = secrets.randbelow(1 << 15)
        self._timestamp = secrets.randbelow(1 << 30)
        self._ssrc = secrets.randbits(32)
        self._talker: asyncio.Task[None] | None = None
        self._echo: bytes | None = None

    @property
    def port(self) -> int:
        """Local port."""
        return int(self._open_transport().get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is open."""
        # No isinstance: the selector loop's datagram transport of Python 3.11 is not declared as one.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """asyncio: one packet arrived."""
        del addr
        if len(data) <= _HEADER.size:
            return
        _, marker_and_type, _, timestamp, _ = _HEADER.unpack_from(data)
        payload_type, payload, now = marker_and_type & 0x7F, data[_HEADER.size :], time.monotonic()
        self.packets += 1
        self.last_packet_s = now
        if payload_type == self._event_type:
            self._hear_event(payload, timestamp, now)
        elif payload_type in (sdp.PCMU, sdp.PCMA) and (g711.loudness(payload, alaw=payload_type == sdp.PCMA) > AUDIBLE):
            self.audible_packets += 1
            self.first_audible_s = self.first_audible_s or now
        elif payload_type not in (sdp.PCMU, sdp.PCMA):
            self.payloads.add(payload)
        if self._echo is not None and payload_type in (sdp.PCMU, sdp.PCMA):
            heard = payload if payload_type == sdp.PCMU else g711.as_ulaw(payload)
            self._send(sdp.PCMU, heard.translate(self._echo), self._timestamp)
            self._timestamp += len(payload)
        self._watch.notify()

    def aim(self, media: sdp.Media) -> None:
        """Send to where the other side's description says; keys use its payload type."""
        self._remote = (media.address, media.port)
        self._event_type = media.telephone_event

    def talk(self, sound: bytes = _tone) -> None:
        """Start sending a sound (mu-law) over and over, by default a 425 Hz tone; does nothing when already talking."""
        if self._talker is None:
            self._talker = asyncio.get_running_loop().create_task(self._send_sound(sound))

    def echo(self, loss_db: float) -> None:
        """Return from now on what is heard, fainter by `loss_db`, as a line or a handset does; hush before."""
        self._echo = g711.fainter(loss_db)

    def hush(self) -> None:
        """Stop the tone; keys can still be pressed."""
        if self._talker is not None:
            self._talker.cancel()
            self._talker = None

    async def press(self, key: str, duration_ms: int = 120, stall_s: float = 0.0) -> float:
        """Send one key as RFC 4733 events; returns the monotonic time of the first end packet.

        Args:
            key: one of `KEYS`.
            duration_ms: how long it is held down.
            stall_s: how long the network holds back what follows the first packets.

        Raises:
            RuntimeError: the other side offered no telephone-event: send a SIP INFO instead.
        """
        if self._event_type is None:
            raise RuntimeError("the other side offered no telephone-event; press the key by SIP INFO")
        event, frames = KEYS.index(key), max(3, duration_ms // 20)
        timestamp, ended_s = self._timestamp, 0.0
        for index in range(frames + _END_REPEATS):
            ended = index >= frames
            duration = min(index + 1, frames) * FRAME_SAMPLES
            payload = _EVENT.pack(event, (_END_BIT if ended else 0) | _VOLUME_DBM0, duration)
            self._send(self._event_type, payload, timestamp, marker=index == 0)
            if not ended:
                await asyncio.sleep(FRAME_S + (stall_s if index == _STALLS_AFTER else 0.0))
            ended_s = ended_s or (time.monotonic() if ended else 0.0)
        self._timestamp += (frames + 1) * FRAME_SAMPLES
        return ended_s

    async def press_in_band(self, key: str, duration_ms: int = 200) -> None:
        """Send one key as the two tones it sounds like, as phones without telephone-event do; hush before."""
        sound = g711.key_tones(key, duration_ms)
        for begin in range(0, len(sound), FRAME_SAMPLES):
            self.send_packet(sdp.PCMU, sound[begin : begin + FRAME_SAMPLES])
            await asyncio.sleep(FRAME_S)
        for _ in range(10):  # silence ends the key
            self.send_packet(sdp.PCMU, b"\xff" * FRAME_SAMPLES)
            await asyncio.sleep(FRAME_S)

    async def wait_for_key(self, key: str, timeout_s: float) -> KeyPress:
        """The first press of a key in this stream, past ones included."""
        await self._wait(lambda: any(press.key == key for press in self.keys), timeout_s, f"key {key}")
        return next(press for press in self.keys if press.key == key)

    async def wait_for_sound(self, timeout_s: float, packets: int = 10) -> float:
        """Until so many packets with a sound arrived; returns when the first came (monotonic seconds)."""
        await self._wait(lambda: self.audible_packets >= packets, timeout_s, f"{packets} audible packets")
        return self.first_audible_s or 0.0

    async def wait_for_packets(self, count: int, timeout_s: float) -> None:
        """Until so many packets of any kind arrived."""
        await self._wait(lambda: self.packets >= count, timeout_s, f"{count} packets")

    async def quiet(self, for_s: float, timeout_s: float = 5.0) -> None:
        """Until nothing audible has arrived for so long.

        Raises:
            TimeoutError: it stayed loud.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            heard = self.audible_packets
            await asyncio.sleep(for_s)
            if self.audible_packets == heard:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"RTP: not quiet within {timeout_s} s; {self._summary()}")

    def close(self) -> None:
        """Stop talking and close the socket."""
        self.hush()
        if self._transport is not None:
            self._transport.close()

    def send_packet(self, payload_type: int, payload: bytes) -> None:
        """Send one packet of any payload type (video in tests)."""
        self._send(payload_type, payload, self._timestamp, marker=True)

    async def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        await self._watch.until(condition, timeout_s, lambda: f"RTP: {what} not heard; {self._summary()}")

    def _summary(self) -> str:
        keys = "".join(press.key for press in self.keys)
        return f"{self.packets} packets, {self.audible_packets} audible, keys {keys!r}"

    def _hear_event(self, payload: bytes, timestamp: int, now: float) -> None:
        if len(payload) < _EVENT.size:
            return
        event, flags, _ = _EVENT.unpack_from(payload)
        began = self._began.setdefault(timestamp, now)
        if flags & _END_BIT and timestamp not in self._ended and event < len(KEYS):
            self._ended.add(timestamp)
            self.keys.append(KeyPress(KEYS[event], began, now))

    async def _send_sound(self, ulaw: bytes) -> None:
        due, offset = time.monotonic(), 0
        payload_type, sound = (sdp.PCMU, ulaw) if self.speaks == "mu-law" else (sdp.PCMA, g711.as_alaw(ulaw))
        while True:
            self._send(payload_type, sound[offset : offset + FRAME_SAMPLES], self._timestamp)
            self._timestamp += FRAME_SAMPLES
            offset = (offset + FRAME_SAMPLES) % len(sound)
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _send(self, payload_type: int, payload: bytes, timestamp: int, *, marker: bool = False) -> None:
        if self._remote is None:
            return
        second = payload_type | (0x80 if marker else 0)
        header = _HEADER.pack(0x80, second, self._sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self._ssrc)
        self._sequence += 1
        self._open_transport().sendto(header + payload, self._remote)

    def _open_transport(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise RuntimeError("the RTP stream is not open; make it with open_stream()")
        return self._transport


async def open_stream(address: str) -> RtpStream:
    """A stream on a free port of a local address."""
    _, stream = await asyncio.get_running_loop().create_datagram_endpoint(RtpStream, local_addr=(address, 0))
    return stream
