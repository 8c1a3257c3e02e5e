"""Whether anything can be heard in a sound of µ-law (ITU-T G.711), 8 kHz."""

from __future__ import annotations

from typing import Final

FRAME: Final = 160
"""Samples of 20 ms."""
LOUD: Final = 96
"""Mean amplitude of a frame (of 32,124 at most): some -50 dBov, a quiet voice far from the microphone. A line without
sound stays below 16."""
LEAST_FRAMES: Final = 5
"""A tenth of a second: a click is no voice."""


def _amplitude(byte: int) -> int:
    """Decode one byte and leave out its sign (G.711, table 2a: 14 bits, here in the usual 16)."""
    bits = ~byte & 0xFF
    return ((((bits & 0x0F) << 3) + 0x84) << ((bits >> 4) & 7)) - 0x84


_AMPLITUDES: Final = tuple(_amplitude(byte) for byte in range(256))


def is_audible(mu_law: bytes) -> bool:
    """Tell whether there is a tenth of a second, all in all, that is louder than silence."""
    loud = 0
    for start in range(0, len(mu_law), FRAME):
        frame = mu_law[start : start + FRAME]
        loud += sum(map(_AMPLITUDES.__getitem__, frame)) >= LOUD * len(frame)
        if loud >= LEAST_FRAMES:
            return True
    return False
