"""From the recordings of a probe to the verdict on its handset."""

from __future__ import annotations

import wave
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog

from crm_api.domain.e_model import mean_opinion_score, rating
from crm_api.domain.handset_verdict import Heard, judge
from crm_api.domain.sound import find_echo, measure, tone_level

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from crm_api.domain.handset_verdict import Judgement

_log = structlog.get_logger("scheduler.probes")

TONE_HZ: Final = 1004.0
GRADED_KIND: Final = 1
SPOKEN_KIND: Final = 2
"""The resident is asked to say a sentence."""
SILENT_KIND: Final = 3
LEAST_S: Final = 0.5
"""A shorter recording says nothing."""


class NoRecordingError(Exception):
    """There is no file, or it is no recording; the sentence says why."""


def read_wav(path: Path) -> tuple[NDArray[np.float64], int]:
    """Return the samples of a mono recording of 16 bits, between -1 and 1, and their rate.

    One that breaks off (Asterisk died, the disk was full) ends with its last whole sample.

    Raises:
        NoRecordingError: nothing that can be read.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise NoRecordingError(f"{path.name} has not one channel of 16 bits")
            frames = file.readframes(file.getnframes())
            samples = np.frombuffer(frames[: len(frames) // 2 * 2], dtype="<i2")
            return samples.astype(np.float64) / 32768, file.getframerate()
    except (OSError, wave.Error, EOFError) as error:
        raise NoRecordingError(str(error) or type(error).__name__) from error


def examine(directory: Path, call_id: int, kind: int, told: dict[str, Any]) -> tuple[Judgement | None, dict[str, Any]]:
    """Return the verdict on an answered probe and everything that was measured.

    A recording that the measure fails on has no verdict: it must not keep every other probe from its own.

    Args:
        directory: where Asterisk puts the recordings, `<id>-heard.wav` and `<id>-sent.wav`.
        call_id: of the probe.
        kind: of the campaign: 1 asks for a grade, 2 for a sentence, too, 3 is a silent test.
        told: grade and network figures that the call path has told, and what the panel has said.
    """
    try:
        return _examine(directory, call_id, kind, told)
    except Exception as error:  # noqa: BLE001 - whatever numpy and scipy may raise
        _log.exception("a recording could not be measured", probe=call_id)
        return None, {"trouble": f"the recording could not be measured: {type(error).__name__}: {error}"}


def _examine(directory: Path, call_id: int, kind: int, told: dict[str, Any]) -> tuple[Judgement | None, dict[str, Any]]:
    network = {name: told.get(name) for name in ("packets", "packets_lost", "jitter_us", "round_trip_us")}
    network |= {name: told[name] for name in ("line_level",) if name in told}
    grade: int | None = told.get("grade")
    try:
        heard, rate_hz = read_wav(directory / f"{call_id}-heard.wav")
    except NoRecordingError as error:
        return None, {**network, "trouble": f"no recording: {error}"}
    if len(heard) < LEAST_S * rate_hz:
        return None, {**network, "trouble": f"the recording is {len(heard) / rate_hz:.1f} s long"}
    silent = kind == SILENT_KIND
    sound = measure(heard, rate_hz, kept_silent=silent)
    echo = None
    try:
        sent, _ = read_wav(directory / f"{call_id}-sent.wav")
        echo = find_echo(sent, heard, rate_hz)
    except NoRecordingError:
        pass
    tone = tone_level(heard, rate_hz, TONE_HZ) if silent else None
    judgement = judge(
        Heard("answered", sound, None if silent else echo, grade, tone, None, kept_silent=kind != SPOKEN_KIND)
    )
    lost = network["packets_lost"] or 0
    whole = (network["packets"] or 0) + lost
    r = rating((network["round_trip_us"] or 0) / 2000, 100 * lost / whole if whole else 0.0)
    found = {
        **network,
        **{name: round(value, 4) for name, value in asdict(sound).items()},
        "rating_r": round(r, 1),
        "mos_estimated": round(mean_opinion_score(r), 2),
    }
    if echo is not None:
        found |= {f"echo_{name}": round(value, 3) for name, value in asdict(echo).items()}
    if tone is not None:
        found["tone_dbov"] = round(tone, 1)
    if kind == GRADED_KIND and grade is None and judgement is not None and judgement.verdict == "good":
        # Nobody has said that it is good, and a fault on the resident's side of the sound is heard by nobody else.
        return None, {**found, "trouble": "no key was pressed"}
    return judgement, found
