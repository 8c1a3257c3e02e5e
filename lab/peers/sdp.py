"""Session descriptions of scripted peers: write an offer or answer, read where the other side wants its media.

RFC 8866 for the form, RFC 3264 for offer and answer. Only what an intercom needs: one audio and at most one video
stream, plain RTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PCMU, PCMA, G722, VP8, H264, TELEPHONE_EVENT, OPUS = 0, 8, 9, 98, 99, 101, 107
_RTPMAP = {
    PCMU: "PCMU/8000",
    PCMA: "PCMA/8000",
    G722: "G722/8000",
    18: "G729/8000",
    TELEPHONE_EVENT: "telephone-event/8000",
    VP8: "VP8/90000",
    H264: "H264/90000",
    OPUS: "opus/48000/2",
}
_FMTP = {TELEPHONE_EVENT: "0-15", H264: "profile-level-id=42801F;packetization-mode=1"}


@dataclass(frozen=True)
class Media:
    """One `m=` section: kind, where to send, and the payload types in order of preference."""

    kind: str
    address: str
    port: int
    payload_types: tuple[int, ...]
    rtpmap: dict[int, str] = field(default_factory=dict)
    direction: str = "sendrecv"

    @property
    def telephone_event(self) -> int | None:
        """Payload type of RFC 4733 events, None when the other side did not offer them."""
        return next((pt for pt, name in self.rtpmap.items() if name.lower().startswith("telephone-event/")), None)


def write(  # an SDP has these knobs, and a scripted peer turns each of them somewhere
    address: str,
    audio_port: int,
    *,
    payload_types: tuple[int, ...] = (PCMU, PCMA, TELEPHONE_EVENT),
    video_port: int | None = None,
    video_type: int = H264,
    direction: str = "sendrecv",
    version: int = 1,
) -> bytes:
    """A session description for one audio stream and, with `video_port`, one video stream."""
    lines = [
        "v=0",
        f"o=- 20261 {version} IN IP4 {address}",
        "s=-",
        f"c=IN IP4 {address}",
        "t=0 0",
        *_section("audio", audio_port, payload_types, direction),
    ]
    if video_port is not None:
        lines += _section("video", video_port, (video_type,), direction)
    return ("\r\n".join(lines) + "\r\n").encode()


def _section(kind: str, port: int, payload_types: tuple[int, ...], direction: str) -> list[str]:
    lines = [f"m={kind} {port} RTP/AVP {' '.join(map(str, payload_types))}"]
    for payload_type in payload_types:
        lines.append(f"a=rtpmap:{payload_type} {_RTPMAP[payload_type]}")
        if payload_type in _FMTP:
            lines.append(f"a=fmtp:{payload_type} {_FMTP[payload_type]}")
    return [*lines, f"a={direction}"]


def read(body: bytes) -> list[Media]:
    """Every `m=` section of a description, in order; an empty list when there is none."""
    session_address, medias = "", list[Media]()
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.partition("=")
        if kind == "c":
            address = value.split()[-1]
            if medias:
                medias[-1] = _changed(medias[-1], address=address)
            else:
                session_address = address
        elif kind == "m":
            name, port, _profile, *formats = value.split()
            numbers = tuple(int(text) for text in formats if text.isdigit())
            medias.append(Media(name, session_address, int(port.split("/")[0]), numbers))
        elif kind == "a" and medias:
            medias[-1] = _attribute(medias[-1], value)
    return medias


def audio(body: bytes) -> Media | None:
    """The first accepted audio section (port not 0), or None."""
    return next((media for media in read(body) if media.kind == "audio" and media.port), None)


def video(body: bytes) -> Media | None:
    """The first accepted video section (port not 0), or None."""
    return next((media for media in read(body) if media.kind == "video" and media.port), None)


def _attribute(media: Media, value: str) -> Media:
    if value in ("sendrecv", "sendonly", "recvonly", "inactive"):
        return _changed(media, direction=value)
    if value.startswith("rtpmap:"):
        number, _, name = value.removeprefix("rtpmap:").partition(" ")
        if number.isdigit():
            return _changed(media, rtpmap={**media.rtpmap, int(number): name.strip()})
    return media


def _changed(
    media: Media, *, address: str | None = None, direction: str | None = None, rtpmap: dict[int, str] | None = None
) -> Media:
    return Media(
        media.kind,
        address if address is not None else media.address,
        media.port,
        media.payload_types,
        rtpmap if rtpmap is not None else media.rtpmap,
        direction if direction is not None else media.direction,
    )
