"""What a recording of a telephone call says about the sound: levels, noise, clipping, gaps, echo, band.

Levels are in dBov: 0 is the mean square of the loudest that 16 bits hold (ITU-T G.100.1). Recordings are mono, linear,
between -1 and 1, usually at 8000 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import ndimage, signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float64]

SILENT_DBOV: Final = -100.0
"""Told instead of minus infinity."""
FRAME_S: Final = 0.02

# ITU-T P.56, 8.3: time constant of smoothing, hangover, and the margin between threshold and active level.
_SMOOTHING_S: Final = 0.03
_HANGOVER_S: Final = 0.2
_MARGIN_DB: Final = 15.9

_FLAT: Final = 0.02
_RUN: Final = 3
_ZERO: Final = 9 / 32768
"""What G.711 makes of silence: A-law has no zero, its least value is 8."""
_GAP_S: Final = (0.02, 0.4)
_BESIDE_S: Final = 0.01
_ACTIVE_BELOW_DB: Final = 6.0
_BAND_BELOW_DB: Final = 25.0
_LONGEST_ECHO_S: Final = 0.8


@dataclass(frozen=True)
class Sound:
    """The measures of one recording.

    Args:
        active_level_dbov: level of the speech without its pauses (ITU-T P.56, method B).
        activity: share of the time that is speech (0 to 1).
        noise_floor_dbov: level of the quietest tenth.
        peak: greatest absolute sample.
        clipped_share: share of samples in flat tops (three and more in a row at the peak).
        silent_share: share of frames in which there is nothing at all.
        gaps_per_min: short stretches of nothing in the middle of speech, a minute of speech.
        band_low_hz: where the spectrum rises to 25 dB below its peak.
        band_high_hz: where it falls below that again.
    """

    active_level_dbov: float
    activity: float
    noise_floor_dbov: float
    peak: float
    clipped_share: float
    silent_share: float
    gaps_per_min: float
    band_low_hz: float
    band_high_hz: float


@dataclass(frozen=True)
class Echo:
    """What comes back of what was sent: after how long, how much weaker, and how sure that is (0 to 1)."""

    delay_ms: float
    loss_db: float
    correlation: float


def dbov(mean_square: float) -> float:
    """Return a mean square in dBov."""
    return SILENT_DBOV if mean_square <= 0 else max(SILENT_DBOV, float(10 * np.log10(mean_square)))


def active_speech_level(samples: Samples, rate_hz: int) -> tuple[float, float]:
    """Return active level (dBov) and activity (0 to 1) by ITU-T P.56, method B; silence is (`SILENT_DBOV`, 0)."""
    whole = float(np.sum(samples**2))
    if whole <= 0:
        return SILENT_DBOV, 0.0
    decay = float(np.exp(-1 / (rate_hz * _SMOOTHING_S)))
    envelope: Any = np.abs(samples)
    for _ in range(2):
        envelope = signal.lfilter([1 - decay], [1, -decay], envelope)
    hangover = round(rate_hz * _HANGOVER_S)
    # A sample is active while the envelope was above the threshold at some moment of the hangover before it.
    held = ndimage.maximum_filter1d(envelope, hangover + 1, origin=hangover // 2)
    before: tuple[float, float] | None = None
    for power in range(15, 0, -1):
        threshold = 2.0**-power
        active = int(np.count_nonzero(held >= threshold))
        if active == 0:
            break
        level = dbov(whole / active)
        margin = level - 20 * np.log10(threshold)
        if margin <= _MARGIN_DB:
            if before is None:
                return level, active / len(samples)
            share = (before[1] - _MARGIN_DB) / (before[1] - margin)
            found = before[0] + share * (level - before[0])
            return float(found), float(min(1.0, whole / len(samples) / 10 ** (found / 10)))
        before = (level, float(margin))
    return (SILENT_DBOV, 0.0) if before is None else (before[0], whole / len(samples) / 10 ** (before[0] / 10))


def measure(samples: Samples, rate_hz: int, *, kept_silent: bool = False) -> Sound:
    """Measure one side of a call.

    Args:
        samples: between -1 and 1.
        rate_hz: of the samples.
        kept_silent: nobody spoke, so digital silence is no gap in speech but a line without noise.
    """
    frame = round(rate_hz * FRAME_S)
    count = len(samples) // frame
    if count == 0:
        raise ValueError(f"{len(samples)} samples are no recording: give at least {frame}")
    energies = np.mean(samples[: count * frame].reshape(count, frame) ** 2, axis=1)
    level, activity = active_speech_level(samples, rate_hz)
    nothing = np.max(np.abs(samples[: count * frame].reshape(count, frame)), axis=1) <= _ZERO
    # Gaps and digital silence are no noise: the floor is that of the frames in which there is something.
    something = np.sort(energies if kept_silent else energies[~nothing])
    floor = float(np.mean(something[: max(1, len(something) // 10)])) if len(something) else 0.0
    low, high = _band(samples, rate_hz)
    return Sound(
        active_level_dbov=level,
        activity=activity,
        noise_floor_dbov=dbov(floor),
        peak=float(np.max(np.abs(samples))),
        clipped_share=_clipped_share(samples),
        silent_share=float(np.mean(nothing)),
        gaps_per_min=_gaps_per_min(samples, level, activity, rate_hz),
        band_low_hz=low,
        band_high_hz=high,
    )


def find_echo(sent: Samples, heard: Samples, rate_hz: int) -> Echo | None:
    """Return the echo of what was sent in what was heard; None when nothing was sent or nothing heard.

    The delay is where the correlation of the two is greatest; the loss is the gain that fits best there.
    """
    length = min(len(sent), len(heard))
    sent, heard = sent[:length], heard[:length]
    sent_energy, heard_energy = float(np.sum(sent**2)), float(np.sum(heard**2))
    if sent_energy <= 0 or heard_energy <= 0:
        return None
    longest = min(length - 1, round(rate_hz * _LONGEST_ECHO_S))
    products = signal.correlate(heard, sent, mode="full", method="fft")[length - 1 : length + longest]
    delay = int(np.argmax(np.abs(products)))
    gain = abs(float(products[delay])) / sent_energy
    overlap = float(np.sum(heard[delay:] ** 2)) * float(np.sum(sent[: length - delay] ** 2))
    correlation = abs(float(products[delay])) / float(np.sqrt(overlap)) if overlap > 0 else 0.0
    loss = -SILENT_DBOV if gain <= 0 else float(-20 * np.log10(gain))
    return Echo(1000 * delay / rate_hz, loss, min(1.0, correlation))


def tone_level(samples: Samples, rate_hz: int, tone_hz: float) -> float:
    """Return how loud a tone is in a recording, in dBov (Goertzel: one line of the Fourier transform)."""
    turns = np.exp(-2j * np.pi * tone_hz * np.arange(len(samples)) / rate_hz)
    amplitude = 2 * abs(np.sum(samples * turns)) / len(samples)
    return dbov(float(amplitude**2) / 2)


def _clipped_share(samples: Samples) -> float:
    """Return the share of samples in flat tops: runs at the greatest value, of either sign, wherever that lies."""
    clipped = 0
    for side in (samples, -samples):
        top = float(np.max(side))
        if top <= _ZERO:
            continue
        flat = side >= top * (1 - _FLAT)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], flat.astype(np.int8), [0]))))
        runs = edges[1::2] - edges[::2]
        clipped += int(np.sum(runs[runs >= _RUN]))
    return clipped / len(samples)


def _gaps_per_min(samples: Samples, level: float, activity: float, rate_hz: int) -> float:
    """Count stretches without anything amid loud speech: a pause fades, a lost packet cuts."""
    if activity <= 0:
        return 0.0
    empty = np.abs(samples) <= _ZERO
    edges = np.flatnonzero(np.diff(np.concatenate(([0], empty.astype(np.int8), [0]))))
    beside, least = round(rate_hz * _BESIDE_S), 10 ** ((level - _ACTIVE_BELOW_DB) / 10)
    gaps = 0
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if not _GAP_S[0] <= (end - begin) / rate_hz <= _GAP_S[1]:
            continue
        sides = (samples[max(0, begin - beside) : begin], samples[end : end + beside])
        if all(len(side) and float(np.mean(side**2)) >= least for side in sides):
            gaps += 1
    return gaps / (activity * len(samples) / rate_hz / 60)


def _band(samples: Samples, rate_hz: int) -> tuple[float, float]:
    """Return the edges of the spectrum (Welch's method, 256 samples, smoothed over five lines)."""
    frequencies, power = signal.welch(samples, rate_hz, nperseg=min(256, len(samples)))
    smooth = np.convolve(power, np.ones(5) / 5, mode="same")
    inside = np.flatnonzero(smooth >= np.max(smooth) * 10 ** (-_BAND_BELOW_DB / 10))
    return float(frequencies[inside[0]]), float(frequencies[inside[-1]])
