"""What is said to whom: one table from meaning to sound file and to the Q.850 cause the call then ends with."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

# Asterisk puts the channel's language before the last part of the path; what it does not find there, a tone, it finds
# without. Each meaning has a sound of its own: a prompt in the dialplan's hands tells what it means (`of_sound`).
_OUR_SOUNDS = "/opt/entryphone/asterisk/sounds"
LANGUAGES = frozenset({"en", "ru", "zh"})
DEFAULT_LANGUAGE = "en"


class Spoken(NamedTuple):
    """A prompt.

    `sound` is what `Playback` takes (asterisk/sounds/README.md); several would be joined by `&`.
    `cause` is the Q.850 cause for `Hangup`. chan_pjsip makes 1 a 404, 17 a 486, 19 and 20 a 480,
    21 a 403. Not used: 18 (408), 34 and 42 (503), which the proxy takes for a failed node and tries the other one.
    """

    sound: str
    cause: int


class Prompt(Enum):
    """Every meaning a prompt can have."""

    UNKNOWN_NUMBER = Spoken(f"{_OUR_SOUNDS}/unknown-number", 1)
    BLOCKED = Spoken(f"{_OUR_SOUNDS}/blocked", 21)
    FORBIDDEN = Spoken(f"{_OUR_SOUNDS}/forbidden", 21)
    NOBODY_HOME = Spoken(f"{_OUR_SOUNDS}/nobody-home", 19)
    BUSY = Spoken(f"{_OUR_SOUNDS}/busy", 17)
    SERVICE_UNAVAILABLE = Spoken(f"{_OUR_SOUNDS}/unavailable", 20)
    CODE_WRONG = Spoken(f"{_OUR_SOUNDS}/code-wrong", 21)
    CODE_LOCKED = Spoken(f"{_OUR_SOUNDS}/code-locked", 21)
    DOOR_OPENED = Spoken(f"{_OUR_SOUNDS}/door-opened", 16)
    DOOR_ON_ITS_WAY = Spoken(f"{_OUR_SOUNDS}/door-on-its-way", 16)
    DOOR_REFUSED = Spoken(f"{_OUR_SOUNDS}/door-refused", 16)
    DOOR_FAILED = Spoken(f"{_OUR_SOUNDS}/door-failed", 16)
    NOT_PASSED_ON = Spoken(f"{_OUR_SOUNDS}/not-passed-on", 16)

    @classmethod
    def of_sound(cls, sound: str) -> Prompt | None:
        """The meaning of a sound in the dialplan's hands, None when it is not one of ours."""
        return _BY_SOUND.get(sound)


_BY_SOUND = {prompt.value.sound: prompt for prompt in Prompt}


def language_of(language: str) -> str:
    """The language that prompts of a company are spoken in: `zh-CN` is Chinese; without prompts of its own, English."""
    base = language.replace("_", "-").partition("-")[0].lower()
    return base if base in LANGUAGES else DEFAULT_LANGUAGE
