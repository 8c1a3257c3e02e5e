# ruff: noqa: INP001 - a script beside the dialplan that runs it
"""`say_address.py <language> <file.wav> <text>`: has espeak-ng say a text, as sound that Asterisk plays.

Run by the dialplan on the node; standard library only. Written to a name of its own first: two calls may want it.
"""

from __future__ import annotations

import array
import io
import os
import subprocess
import sys
import wave
from pathlib import Path

RATE_HZ = 8000
_VOICES = {"ru": "ru", "zh": "cmn", "en": "en"}


def at_rate(samples: array.array[int], rate_hz: int) -> array.array[int]:
    """Return the sound at 8 kHz: the mean of what falls into each new sample, which also dulls what cannot be heard."""
    step = rate_hz / RATE_HZ
    found = array.array("h")
    for index in range(int(len(samples) / step)):
        part = samples[int(index * step) : max(int((index + 1) * step), int(index * step) + 1)]
        found.append(sum(part) // len(part))
    return found


def main() -> int:
    """Say it."""
    language, path, text = sys.argv[1:4]
    voice = _VOICES.get(language.partition("_")[0].lower(), "en")
    said = subprocess.run(  # noqa: S603 - the text is one argument, and no option after `--`
        ["/usr/bin/espeak-ng", "-v", voice, "-s", "130", "--stdout", "--", text], stdout=subprocess.PIPE, check=True
    )
    with wave.open(io.BytesIO(said.stdout)) as sound:
        rate_hz = sound.getframerate()
        # Its header tells no length, as it was written to a pipe.
        samples = array.array("h", said.stdout[44 : len(said.stdout) - (len(said.stdout) - 44) % 2])
    fresh = Path(f"{path}.{os.getpid()}")
    with wave.open(str(fresh), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(at_rate(samples, rate_hz).tobytes())
    fresh.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
