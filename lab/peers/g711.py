"""G.711 mu-law and A-law samples, as far as hearing a tone needs it (ITU-T G.711)."""

from __future__ import annotations

import functools
import math

_BIAS, _CLIP = 0x84, 32635


def encode_ulaw(sample: int) -> int:
    """One linear 16-bit sample as a mu-law byte."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def decode_ulaw(byte: int) -> int:
    """One mu-law byte as a linear 16-bit sample."""
    value = ~byte & 0xFF
    magnitude = (((value & 0x0F) << 3) + _BIAS << (value >> 4 & 0x07)) - _BIAS
    return -magnitude if value & 0x80 else magnitude


def decode_alaw(byte: int) -> int:
    """One A-law byte as a linear 16-bit sample."""
    value = byte ^ 0x55
    exponent, mantissa = value >> 4 & 0x07, value & 0x0F
    magnitude = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return magnitude if value & 0x80 else -magnitude


_ULAW = tuple(decode_ulaw(byte) for byte in range(256))
_ALAW = tuple(decode_alaw(byte) for byte in range(256))


@functools.cache
def _alaw_of_ulaw() -> bytes:
    return bytes(min(range(256), key=lambda byte: abs(_ALAW[byte] - sample)) for sample in _ULAW)


def as_alaw(ulaw: bytes) -> bytes:
    """Make A-law of mu-law: each sample the nearest that A-law has."""
    return ulaw.translate(_alaw_of_ulaw())


@functools.cache
def _ulaw_of_alaw() -> bytes:
    return bytes(encode_ulaw(sample) for sample in _ALAW)


def as_ulaw(alaw: bytes) -> bytes:
    """Make mu-law of A-law: each sample the nearest that mu-law has."""
    return alaw.translate(_ulaw_of_alaw())


def fainter(loss_db: float) -> bytes:
    """A table for `bytes.translate` that makes mu-law samples fainter."""
    factor = 10 ** (-loss_db / 20)
    return bytes(encode_ulaw(round(sample * factor)) for sample in _ULAW)


def loudness(payload: bytes, *, alaw: bool = False) -> float:
    """Root mean square of the samples, 0 (silence) to 32124."""
    if not payload:
        return 0.0
    table = _ALAW if alaw else _ULAW
    return math.sqrt(sum(table[byte] ** 2 for byte in payload) / len(payload))


# ITU-T Q.23: each key is a low and a high tone.
_ROWS_HZ, _COLUMNS_HZ, _KEYPAD = (697, 770, 852, 941), (1209, 1336, 1477, 1633), "123A456B789C*0#D"


def key_tones(key: str, duration_ms: int, amplitude: int = 7000) -> bytes:
    """A key as it sounds in the stream of a phone that has no other way to send it, as mu-law."""
    row, column = divmod(_KEYPAD.index(key), 4)
    pair = (_ROWS_HZ[row], _COLUMNS_HZ[column])
    return bytes(
        encode_ulaw(round(sum(amplitude * math.sin(2 * math.pi * hz * index / 8000) for hz in pair)))
        for index in range(duration_ms * 8)
    )


def silence(duration_ms: int) -> bytes:
    """Mu-law of a microphone that hears nothing."""
    return bytes((encode_ulaw(0),)) * (duration_ms * 8)


def tone(frequency_hz: int, amplitude: int = 8000) -> bytes:
    """One second of a sine at 8 kHz as mu-law; frequencies in whole hertz join without a click."""
    return bytes(
        encode_ulaw(round(amplitude * math.sin(2 * math.pi * frequency_hz * index / 8000))) for index in range(8000)
    )
