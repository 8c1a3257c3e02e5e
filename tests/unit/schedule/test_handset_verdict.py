"""Recordings made for it: clean speech, and the same with one fault; the table of right and wrong verdicts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import signal

from crm_api.domain.e_model import mean_opinion_score, rating
from crm_api.domain.handset_verdict import THRESHOLDS, Heard, entrance_fault, judge
from crm_api.domain.sound import SILENT_DBOV, active_speech_level, find_echo, measure, tone_level

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from crm_api.domain.handset_verdict import Verdict

    Samples = NDArray[np.float64]

RATE = 8000
SEEDS = range(8)


def scaled(samples: Samples, level_dbov: float) -> Samples:
    return np.asarray(samples * 10 ** ((level_dbov - active_speech_level(samples, RATE)[0]) / 20))


def speech(seed: int, seconds: float = 8.0, level_dbov: float = -26.0) -> Samples:
    """Something with the statistics of speech: voiced syllables of a changing pitch with formants, hisses, pauses."""
    rng = np.random.default_rng(seed)
    parts: list[Samples] = []
    while sum(map(len, parts)) < seconds * RATE:
        length = int(rng.uniform(0.12, 0.3) * RATE)
        if rng.random() < 0.25:
            sound = signal.lfilter([1, -0.9], [1], rng.normal(0, 0.3, length))
        else:
            pitch = rng.uniform(95, 220) * np.linspace(1, rng.uniform(0.85, 1.15), length)
            source = signal.sawtooth(2 * np.pi * np.cumsum(pitch) / RATE)
            sound = np.zeros(length)
            for centre, width in (
                (rng.uniform(300, 800), 90),
                (rng.uniform(900, 2200), 130),
                (rng.uniform(2400, 3100), 180),
            ):
                b, a = signal.iirpeak(centre, centre / width, fs=RATE)
                sound += signal.lfilter(b, a, source)
        parts.append(sound * signal.windows.tukey(length, 0.5) * rng.uniform(0.5, 1.0))
        pause = rng.uniform(0.3, 0.7) if rng.random() < 0.2 else rng.uniform(0.0, 0.05)
        parts.append(np.zeros(int(pause * RATE)))
    whole = np.concatenate(parts)[: int(seconds * RATE)]
    b, a = signal.butter(3, [250, 3400], "bandpass", fs=RATE)
    return through_g711(
        scaled(np.asarray(signal.lfilter(b, a, whole)), level_dbov) + rng.normal(0, 10**-3.6, len(whole))
    )


def through_g711(samples: Samples) -> Samples:
    """What A-law leaves of it (ITU-T G.711: 8 bits, logarithmic)."""
    a = 87.6
    size = np.clip(np.abs(samples), 0, 1)
    pressed = np.where(
        size < 1 / a, a * size / (1 + np.log(a)), (1 + np.log(np.maximum(a * size, 1))) / (1 + np.log(a))
    )
    steps = (np.floor(pressed * 128).clip(0, 127) + 0.5) / 128
    level = steps * (1 + np.log(a))
    back = np.where(level < 1, level / a, np.exp(level - 1) / a)
    return np.asarray(np.sign(samples) * back)


def noisy(clean: Samples, seed: int) -> Samples:
    return clean + np.random.default_rng(seed + 100).normal(0, 10 ** (-40 / 20), len(clean))


def clipped(clean: Samples, _: int) -> Samples:
    limit = 1.2 * 10 ** (active_speech_level(clean, RATE)[0] / 20)
    return scaled(np.clip(clean, -limit, limit), -26.0)


def attenuated(clean: Samples, _: int) -> Samples:
    return through_g711(clean * 10 ** (-20 / 20))


def broken_up(clean: Samples, seed: int) -> Samples:
    rng, broken = np.random.default_rng(seed + 200), clean.copy()
    for at in rng.integers(0, len(clean) - 800, 30):
        broken[at : at + 480] = 0.0
    return broken


def silent(clean: Samples, seed: int) -> Samples:
    return np.random.default_rng(seed).normal(0, 10 ** (-75 / 20), len(clean))


def dead(clean: Samples, _: int) -> Samples:
    return np.zeros_like(clean)


CASES: dict[str, tuple[Callable[[Samples, int], Samples], str]] = {
    "clean": (lambda clean, _: clean, "good"),
    "clean, 8 dB quieter": (lambda clean, _: clean * 10 ** (-8 / 20), "good"),
    "clean, 6 dB louder": (lambda clean, _: np.clip(clean * 2, -1, 1), "good"),
    "noise of -40 dBov": (noisy, "noisy"),
    "clipped 1.6 dB above": (clipped, "distorted"),
    "20 dB quieter": (attenuated, "quiet"),
    "gaps of 60 ms": (broken_up, "broken_up"),
    "nobody speaks": (silent, "dead_microphone"),
    "nothing at all": (dead, "dead_microphone"),
}


def test_the_table_of_right_and_wrong_verdicts() -> None:
    table: dict[str, Counter[str]] = {}
    for name, (spoil, _) in CASES.items():
        table[name] = Counter()
        for seed in SEEDS:
            found = judge(Heard("answered", measure(spoil(speech(seed), seed), RATE)))
            assert found is not None
            table[name][found.verdict] += 1
    for seed in SEEDS:
        sent, own = speech(seed + 50), speech(seed)
        table.setdefault("echo of 180 ms, 14 dB weaker", Counter())
        back = np.zeros_like(own)
        back[1440:] = sent[:-1440] * 10 ** (-14 / 20)
        heard = Heard("answered", measure(own + back, RATE), find_echo(sent, back + own * 0.1, RATE))
        found = judge(heard)
        assert found is not None
        table["echo of 180 ms, 14 dB weaker"][found.verdict] += 1
    wanted = {name: verdict for name, (_, verdict) in CASES.items()} | {"echo of 180 ms, 14 dB weaker": "echo"}
    lines = [f"{name:<32}{wanted[name]:<17}{dict(found)}" for name, found in table.items()]
    wrong = sum(
        count for name, verdicts in table.items() for verdict, count in verdicts.items() if verdict != wanted[name]
    )
    assert wrong / sum(verdicts.total() for verdicts in table.values()) <= 0.02, "\n".join(lines)
    assert table["clean"] == Counter({"good": len(SEEDS)})


def test_the_level_of_a_known_signal() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE * 4) / RATE)
    assert active_speech_level(tone, RATE)[0] == pytest.approx(-23.0, abs=0.2)
    half = tone.copy()
    half[RATE * 2 :] = 0
    level, activity = active_speech_level(half, RATE)
    assert level == pytest.approx(-23.0, abs=0.7), "P.56 leaves the pause out"
    assert activity == pytest.approx(0.5, abs=0.08)
    assert active_speech_level(np.zeros(RATE), RATE) == (SILENT_DBOV, 0.0)


@pytest.mark.parametrize(("delay_ms", "loss_db"), [(30, 10), (120, 20), (400, 30)])
def test_an_echo_is_found_with_its_delay_and_loss(delay_ms: int, loss_db: int) -> None:
    sent, shift = speech(1), delay_ms * RATE // 1000
    heard = np.random.default_rng(0).normal(0, 1e-4, len(sent))
    heard[shift:] += sent[:-shift] * 10 ** (-loss_db / 20)
    echo = find_echo(sent, heard, RATE)
    assert echo is not None
    assert echo.delay_ms == pytest.approx(delay_ms, abs=1)
    assert echo.loss_db == pytest.approx(loss_db, abs=0.5)


def test_speech_that_is_no_echo_is_none() -> None:
    for seed in SEEDS:
        echo = find_echo(speech(seed), speech(seed + 20), RATE)
        assert echo is not None
        assert echo.correlation < 0.2


def test_the_band_of_telephone_speech() -> None:
    sound = measure(speech(3), RATE)
    assert sound.band_low_hz <= 450
    assert 2500 <= sound.band_high_hz <= 3800


def test_a_tone_that_is_heard_and_one_that_is_not() -> None:
    tone = 10 ** (-40 / 20) * np.sqrt(2) * np.sin(2 * np.pi * 1004 * np.arange(RATE * 2) / RATE)
    noise = np.random.default_rng(1).normal(0, 1e-4, RATE * 2)
    assert tone_level(tone + noise, RATE, 1004) == pytest.approx(-40, abs=0.5)
    silent_test: dict[str, Any] = {"sound": measure(noise, RATE), "kept_silent": True}
    heard = judge(Heard("answered", tone_dbov=tone_level(tone + noise, RATE, 1004), **silent_test))
    deaf = judge(Heard("answered", tone_dbov=tone_level(noise, RATE, 1004), **silent_test))
    assert heard is not None
    assert deaf is not None
    assert (heard.verdict, deaf.verdict) == ("good", "dead_speaker")


# By hand from equations 7-27 and 7-29 of ITU-T G.107; annex B for the MOS.
@pytest.mark.parametrize(
    ("delay_ms", "loss", "expected"), [(0, 0, 93.2), (100, 0, 93.2), (200, 0, 90.2), (400, 0, 69.1), (0, 2, 86.2)]
)
def test_the_e_model_gives_the_published_ratings(delay_ms: float, loss: float, expected: float) -> None:
    assert rating(delay_ms, loss) == pytest.approx(expected, abs=0.1)


def test_echo_costs_rating_and_opinion_follows() -> None:
    assert rating(150, 0, 65) > rating(150, 0, 35) > rating(150, 0, 20)
    assert mean_opinion_score(93.2) == pytest.approx(4.41, abs=0.01)
    assert mean_opinion_score(50) == pytest.approx(2.58, abs=0.02)
    assert (mean_opinion_score(-5), mean_opinion_score(100)) == (1.0, 4.5)


def test_what_the_call_itself_says() -> None:
    sound = measure(speech(1), RATE)
    assert judge(Heard("dropped", sound)) is None
    told = {outcome: judge(outcome) for outcome in (Heard("no_answer"), Heard("answered", sound, grade=4))}
    assert [one.verdict for one in told.values() if one] == ["no_answer", "dead_speaker"]
    line = judge(Heard("answered", sound, line="short"))
    assert line is not None
    assert line.verdict == "line_short"


def test_one_bad_handset_is_told_from_a_bad_line() -> None:
    assert entrance_fault(["good", "good", "noisy", "good", "good"]) == "single handsets: 1 of 5"
    assert entrance_fault(["noisy", "noisy", "noisy", "good", "noisy"]).startswith("line or panel: 4 of 5")
    mixed: list[Verdict] = ["noisy", "broken_up", "noisy", "good", "quiet"]
    assert entrance_fault(mixed) == "line or panel: 4 of 5 handsets bad (2 noisy, 1 broken up, 1 quiet)"
    assert entrance_fault(["noisy", "noisy"]) == "too few handsets to tell: 2 of 2 bad"
    assert entrance_fault(["no_answer"]) == "not known"
    assert entrance_fault(["good", "no_answer"]) == "good"


# Entrances of 4 to 36 handsets: how likely each is bad, in which ways, and what is to be found.
ENTRANCES: dict[str, tuple[float, tuple[Verdict, ...], str]] = {
    "one handset in ten bad": (0.1, ("noisy", "quiet", "dead_microphone", "dead_speaker"), "handsets"),
    "none bad": (0.0, ("noisy",), "good"),
    "a line that hums": (0.9, ("noisy",), "line"),
    "a loose line": (0.85, ("noisy", "broken_up", "quiet"), "line"),
    "a panel without microphone": (1.0, ("dead_speaker",), "line"),
}


def test_the_table_of_right_and_wrong_findings() -> None:
    table: dict[str, Counter[str]] = {}
    for name, (likely, ways, wanted) in ENTRANCES.items():
        rng = np.random.default_rng(7)
        table[name] = Counter()
        for _ in range(2000):
            verdicts: list[Verdict] = [
                ways[rng.integers(len(ways))] if rng.random() < likely else "good" for _ in range(rng.integers(4, 37))
            ]
            told = entrance_fault(verdicts)
            found = "line" if told.startswith("line") else "handsets" if told.startswith("single") else told
            right = found == wanted or (wanted == "handsets" and set(verdicts) == {"good"})
            table[name]["right" if right else "wrong"] += 1
    lines = [f"{name:<32}{dict(found)}" for name, found in table.items()]
    assert all(found["wrong"] / found.total() <= 0.02 for found in table.values()), "\n".join(lines)


def test_every_threshold_has_a_unit_and_a_source() -> None:
    assert all(limit.unit and limit.source for limit in THRESHOLDS.values())
