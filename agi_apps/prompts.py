"""What is said to whom: one table from meaning to sound file and to the Q.850 cause the call then ends with."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

# Two rising notes, 0.12 s: while it sounds neither side hears the other.
_OUR_SOUNDS = "/opt/entryphone/asterisk/sounds"


class Spoken(NamedTuple):
    """A prompt.

    `sound` is what `Playback` takes: files of Debian's asterisk-core-sounds-en-gsm, several joined by `&`.
    `cause` is the Q.850 cause for `Hangup`. chan_pjsip makes 1 a 404, 17 a 486, 19 and 20 a 480,
    21 a 403. Not used: 18 (408), 34 and 42 (503), which the proxy takes for a failed node and tries the other one.
    """

    sound: str
    cause: int


class Prompt(Enum):
    """Every meaning a prompt can have."""

    UNKNOWN_NUMBER = Spoken("im-sorry&check-number-dial-again", 1)
    BLOCKED = Spoken("im-sorry&ss-noservice", 21)
    NOBODY_HOME = Spoken("vm-nobodyavail", 19)
    BUSY = Spoken("im-sorry&vm-isonphone", 17)
    SERVICE_UNAVAILABLE = Spoken("im-sorry&please-try-call-later", 20)
    CODE_WRONG = Spoken("im-sorry&pbx-invalid", 21)
    CODE_LOCKED = Spoken("im-sorry&please-try-call-later&ss-noservice", 21)
    DOOR_OPENED = Spoken(f"{_OUR_SOUNDS}/door-opened", 16)
    DOOR_ON_ITS_WAY = Spoken("ascending-2tone", 16)
    DOOR_REFUSED = Spoken("im-sorry&feature-not-avail-line", 16)
    DOOR_FAILED = Spoken("im-sorry&something-terribly-wrong", 16)

    @classmethod
    def of_sound(cls, sound: str) -> Prompt | None:
        """The meaning of a sound in the dialplan's hands, None when it is not one of ours."""
        return _BY_SOUND.get(sound)


_BY_SOUND = {prompt.value.sound: prompt for prompt in Prompt}
