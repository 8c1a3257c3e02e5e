"""What a probe says about a handset: one verdict, and the reasons for it.

All thresholds stand in one table with their sources. Where no standard has a number for a door handset, the number is
ours, chosen on the recordings of `tests/unit/schedule/test_handset_verdict.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crm_api.domain.sound import Echo, Sound

Verdict = Literal[
    "good", "noisy", "quiet", "distorted", "broken_up", "echo", "dead_microphone", "dead_speaker", "no_answer",
    "line_short", "line_open",
]  # fmt: skip
WORST_FIRST: Final[tuple[Verdict, ...]] = (
    "line_short", "line_open", "dead_microphone", "dead_speaker", "broken_up", "distorted", "echo", "quiet", "noisy",
    "no_answer", "good",
)  # fmt: skip
"""From what cannot be talked over, by what is hard to talk over, to what is good; nobody at home may be just that."""
GOOD: Final = 1
NOISE: Final = 2
TOO_QUIET: Final = 3
CANNOT_HEAR: Final = 4
"""The keys by which a resident grades the sound."""

Outcome = Literal["answered", "no_answer", "busy", "failed", "dropped", "declined"]


@dataclass(frozen=True)
class Threshold:
    """A limit, its unit, and where it comes from."""

    value: float
    unit: str
    source: str


THRESHOLDS: Final[dict[str, Threshold]] = {
    "silent_level": Threshold(-55.0, "dBov", "ours: 29 dB below the nominal -26 dBov of ITU-T P.56 test speech"),
    "least_activity": Threshold(0.02, "share of time", "ours: less than a fifth of a second in ten is no sentence"),
    "quiet_level": Threshold(-38.0, "dBov", "ours: 12 dB below the nominal -26 dBov of ITU-T P.56 test speech"),
    "least_snr": Threshold(20.0, "dB", "ours: speech over noise is tiring below some 20 dB"),
    "loudest_noise": Threshold(
        -46.0, "dBov", "ours: -40 dBm0 (0 dBm0 is -6.2 dBov, ITU-T G.711), a plainly heard hiss"
    ),
    "clipped_share": Threshold(0.004, "share of samples", "ours: natural speech stays below 0.001"),
    "gaps_per_min": Threshold(12.0, "per minute of speech", "ours: one in five seconds is heard as broken"),
    "echo_loss": Threshold(
        26.0, "dB", "ours: the limit falls with the delay (ITU-T G.131); this is for 100 ms and more"
    ),
    "echo_delay": Threshold(25.0, "ms", "ITU-T G.131: below some 25 ms echo is heard as side tone"),
    "echo_correlation": Threshold(0.3, "0 to 1", "ours: speech that is no echo stays below 0.2"),
    "entrance_handsets": Threshold(
        4,
        "handsets",
        "ours: with one handset in ten bad, two of three are in 3 entrances of 100, three of four in less than 1",
    ),
    "entrance_share": Threshold(
        0.6,
        "share of handsets",
        "ours: with one handset in ten bad, so many come together in less than 1 entrance of 100",
    ),
    "tone_level": Threshold(-60.0, "dBov", "ours: a tone of -20 dBov that the microphone does not hear 40 dB weaker"),
}


@dataclass(frozen=True)
class Heard:
    """Everything a probe knows of one handset.

    Args:
        outcome: of the call.
        sound: the resident's side; None without a recording.
        echo: of the announcement in what came back.
        grade: the key that the resident pressed: 1 good, 2 noise, 3 quiet, 4 cannot hear; None: none.
        tone_dbov: how loud the tone of a silent test was heard; None: no such test.
        line: what the panel says of the apartment's line, if its maker lets us ask.
        kept_silent: nobody was asked to speak (kinds 1 and 3), so silence says nothing about the microphone.
    """

    outcome: Outcome
    sound: Sound | None = None
    echo: Echo | None = None
    grade: int | None = None
    tone_dbov: float | None = None
    line: Literal["ok", "short", "open"] | None = None
    kept_silent: bool = False


@dataclass(frozen=True)
class Judgement:
    """One verdict, and sentences that say why."""

    verdict: Verdict
    reasons: tuple[str, ...]


def judge(heard: Heard) -> Judgement | None:
    """Return the verdict on a handset; None when the call says nothing about it (dropped, declined, busy, failed)."""
    if heard.line in {"short", "open"}:
        verdict: Verdict = "line_short" if heard.line == "short" else "line_open"
        return Judgement(verdict, (f"the panel reports the apartment's line {heard.line}",))
    if heard.outcome == "no_answer":
        return Judgement("no_answer", ("nobody answered",))
    if heard.outcome != "answered" or heard.sound is None:
        return None
    found = list(_faults(heard, heard.sound))
    if not found:
        return Judgement("good", ("nothing was found wrong",))
    return Judgement(found[0][0], tuple(reason for _, reason in found))


def _limit(name: str) -> float:
    return THRESHOLDS[name].value


def _faults(heard: Heard, sound: Sound) -> Iterator[tuple[Verdict, str]]:
    """Yield every fault, the one that explains most first."""
    if heard.tone_dbov is not None and heard.tone_dbov < _limit("tone_level"):
        yield "dead_speaker", f"the tone came back at {heard.tone_dbov:.0f} dBov: nothing of it was heard"
    level = sound.active_level_dbov
    silent = level < _limit("silent_level") or sound.activity < _limit("least_activity")
    if silent and not heard.kept_silent:
        yield "dead_microphone", f"nobody was heard: {level:.0f} dBov in {sound.activity:.0%} of the time"
        return
    if heard.grade == CANNOT_HEAR:
        yield "dead_speaker", f"the resident says that nothing is heard ({CANNOT_HEAR})"
    if not silent:
        yield from _disturbances(heard.echo, sound)
    yield from _levels(heard.grade, sound, silent=silent)


def _disturbances(echo: Echo | None, sound: Sound) -> Iterator[tuple[Verdict, str]]:
    if sound.gaps_per_min > _limit("gaps_per_min"):
        yield "broken_up", f"{sound.gaps_per_min:.0f} gaps in a minute of speech"
    if sound.clipped_share > _limit("clipped_share"):
        yield "distorted", f"{sound.clipped_share:.1%} of the sound is clipped"
    if echo is None or echo.correlation < _limit("echo_correlation"):
        return
    if echo.delay_ms >= _limit("echo_delay") and echo.loss_db < _limit("echo_loss"):
        yield "echo", f"an echo comes back after {echo.delay_ms:.0f} ms, {echo.loss_db:.0f} dB weaker"


def _levels(grade: int | None, sound: Sound, *, silent: bool) -> Iterator[tuple[Verdict, str]]:
    snr = sound.active_level_dbov - sound.noise_floor_dbov
    if not silent and snr < _limit("least_snr"):
        yield "noisy", f"speech is {snr:.0f} dB above the noise"
    if sound.noise_floor_dbov > _limit("loudest_noise"):
        yield "noisy", f"noise of {sound.noise_floor_dbov:.0f} dBov"
    elif grade == NOISE:
        yield "noisy", f"the resident hears noise ({NOISE})"
    if not silent and sound.active_level_dbov < _limit("quiet_level"):
        yield "quiet", f"speech is at {sound.active_level_dbov:.0f} dBov"
    elif grade == TOO_QUIET:
        yield "quiet", f"the resident hears too little ({TOO_QUIET})"


def entrance_fault(verdicts: Iterable[Verdict]) -> str:
    """Say what the latest verdicts of one entrance's handsets have in common: a handset's fault, or the line's.

    With most of enough handsets bad the cause is what they share: line, switch or panel; in one way, or, where a loose
    line crackles here and breaks up there, in several. Of few handsets nobody can tell.
    """
    counts = Counter(verdict for verdict in verdicts if verdict != "no_answer")
    judged = sum(counts.values())
    bad = Counter({verdict: count for verdict, count in counts.items() if verdict != "good"})
    faulty = sum(bad.values())
    if not bad:
        return "good" if judged else "not known"
    if judged < _limit("entrance_handsets"):
        return f"too few handsets to tell: {faulty} of {judged} bad"
    if faulty / judged < _limit("entrance_share"):
        return f"single handsets: {faulty} of {judged}"
    told = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in bad.most_common())
    return f"line or panel: {faulty} of {judged} handsets bad ({told})"
