"""From the files that Asterisk leaves of a probe to verdict and measures; files that say nothing are told as such."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from scheduler.probe_measure import GRADED_KIND, SILENT_KIND, SPOKEN_KIND, TONE_HZ, examine
from tests.unit.schedule.test_handset_verdict import RATE, noisy, speech

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TOLD = {"packets": 980, "packets_lost": 20, "jitter_us": 1200, "round_trip_us": 40_000, "grade": 1}
NOISE = np.random.default_rng(5).normal(0, 1e-4, RATE * 3)
# Two seconds, as the dialplan plays it, and a pause.
TONE = 0.1 * np.sin(2 * np.pi * TONE_HZ * np.arange(RATE * 3) / RATE) * (np.arange(RATE * 3) < RATE * 2)


def write(path: Path, samples: NDArray[np.float64], channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def test_what_was_heard_and_what_the_network_says(tmp_path: Path) -> None:
    write(tmp_path / "7-heard.wav", speech(1))
    write(tmp_path / "7-sent.wav", speech(2))
    judgement, found = examine(tmp_path, 7, SPOKEN_KIND, {**TOLD, "line_level": 512})
    assert judgement is not None
    assert judgement.verdict == "good"
    assert {name: found[name] for name in ("packets", "packets_lost", "jitter_us", "line_level")} == {
        "packets": 980, "packets_lost": 20, "jitter_us": 1200, "line_level": 512,
    }  # fmt: skip
    assert found["active_level_dbov"] == pytest.approx(-26, abs=1)
    # 2 % of the packets lost and 20 ms one way: 93.2 less the equipment impairment of ITU-T G.107, 7-29.
    assert found["rating_r"] == pytest.approx(86.2, abs=0.7)
    assert 4.0 < found["mos_estimated"] < 4.4
    assert {"noise_floor_dbov", "clipped_share", "band_low_hz", "band_high_hz", "echo_delay_ms"} <= found.keys()


def test_an_echo_of_what_was_played_is_found(tmp_path: Path) -> None:
    sent, heard = speech(11), 0.1 * speech(12)
    heard[1440:] += sent[:-1440] * 10 ** (-12 / 20)
    write(tmp_path / "7-sent.wav", sent)
    write(tmp_path / "7-heard.wav", heard)
    judgement, found = examine(tmp_path, 7, SPOKEN_KIND, TOLD)
    assert judgement is not None
    assert judgement.verdict == "echo"
    assert found["echo_delay_ms"] == pytest.approx(180, abs=2)


def test_noise_is_a_verdict_without_a_key_but_its_absence_is_none(tmp_path: Path) -> None:
    told = {**TOLD, "grade": None}
    write(tmp_path / "7-heard.wav", noisy(speech(1), 1))
    judgement, _ = examine(tmp_path, 7, GRADED_KIND, told)
    assert judgement is not None
    assert judgement.verdict == "noisy"
    write(tmp_path / "7-heard.wav", speech(1))
    judgement, found = examine(tmp_path, 7, GRADED_KIND, told)
    assert (judgement, found["trouble"]) == (None, "no key was pressed")


@pytest.mark.parametrize(
    ("heard", "verdict"),
    [
        (TONE + NOISE, "good"),
        (TONE, "good"),
        (NOISE, "dead_speaker"),
        (0 * NOISE, "dead_speaker"),
        (TONE + 100 * NOISE, "noisy"),
    ],
)
def test_a_silent_test_listens_for_its_tone(tmp_path: Path, heard: NDArray[np.float64], verdict: str) -> None:
    write(tmp_path / "7-heard.wav", heard)
    judgement, _ = examine(tmp_path, 7, SILENT_KIND, {**TOLD, "grade": None})
    assert judgement is not None
    assert judgement.verdict == verdict


def whole(path: Path) -> bytes:
    write(path, speech(1))
    return path.read_bytes()


def cut_off(path: Path) -> bytes:
    return whole(path)[:-1]


def garbage(path: Path) -> bytes:
    return b"\x00" + whole(path)


def head_alone(path: Path) -> bytes:
    return whole(path)[:44]


def two_channels(path: Path) -> bytes:
    write(path, speech(1)[: RATE * 4], channels=2)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "trouble"),
    [
        (lambda _: None, "no recording"),
        (lambda _: b"", "no recording"),
        (garbage, "no recording"),
        (head_alone, "the recording is 0.0 s long"),
        (two_channels, "not one channel"),
    ],
)
def test_a_recording_that_says_nothing_is_no_verdict(tmp_path: Path, spoil: Any, trouble: str) -> None:
    data = spoil(tmp_path / "7-heard.wav")
    if data is not None:
        (tmp_path / "7-heard.wav").write_bytes(data)
    judgement, found = examine(tmp_path, 7, SPOKEN_KIND, TOLD)
    assert judgement is None
    assert trouble in found["trouble"]
    assert found["packets"] == 980


def test_one_that_breaks_off_in_a_sample_is_judged_by_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "7-heard.wav"
    path.write_bytes(cut_off(path))
    (tmp_path / "7-sent.wav").write_bytes(b"")
    judgement, found = examine(tmp_path, 7, SPOKEN_KIND, TOLD)
    assert judgement is not None
    assert judgement.verdict == "good"
    assert "echo_delay_ms" not in found


def test_what_the_measure_fails_on_is_told_and_raised_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FloatingPointError("overflow")

    monkeypatch.setattr("scheduler.probe_measure.measure", fail)
    write(tmp_path / "7-heard.wav", speech(1))
    assert examine(tmp_path, 7, SPOKEN_KIND, TOLD) == (
        None, {"trouble": "the recording could not be measured: FloatingPointError: overflow"},
    )  # fmt: skip
