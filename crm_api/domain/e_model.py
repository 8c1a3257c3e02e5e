"""The E-model: from delay, loss and echo to a rating R and a mean opinion score (ITU-T G.107, 06/2015).

Everything that is not given has the default value of G.107, table 2; the basic rating is then 93.2.
"""

from __future__ import annotations

import math
from typing import Final

DEFAULT_RATING: Final = 93.2
_ROE: Final = 94.77
"""Ro at the defaults: -1.5 (No - RLR) in G.107, equation 7-22, with the noise sum -61.18 dBm0p and RLR 2 dB."""
_LOUDEST_DELAY_MS: Final = 100.0
G711_BPL: Final = 25.1
"""Robustness of G.711 with loss concealment (ITU-T G.113, appendix I)."""
_HIGHEST: Final = 100.0
_LOWEST: Final = 6.5


def rating(delay_ms: float, loss_percent: float, echo_loss_db: float | None = None, burst_ratio: float = 1.0) -> float:
    """Return R (0 to 100).

    Args:
        delay_ms: one way, mouth to ear.
        loss_percent: packets lost.
        echo_loss_db: talker echo loudness rating; None: no echo.
        burst_ratio: 1 for losses at random.
    """
    return DEFAULT_RATING - _delay(delay_ms) - _echo(delay_ms, echo_loss_db) - _loss(loss_percent, burst_ratio)


def mean_opinion_score(r: float) -> float:
    """Return the estimated MOS of a rating (G.107, annex B)."""
    if r <= _LOWEST:
        return 1.0
    if r >= _HIGHEST:
        return 4.5
    return 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6


def _delay(delay_ms: float) -> float:
    """Return Idd (equation 7-27)."""
    if delay_ms <= _LOUDEST_DELAY_MS:
        return 0.0
    x = math.log10(delay_ms / 100) / math.log10(2)
    return 25.0 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def _echo(delay_ms: float, echo_loss_db: float | None) -> float:
    """Return Idte (equations 7-20 to 7-24)."""
    if echo_loss_db is None:
        return 0.0
    terv = echo_loss_db - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + 6 * math.exp(-0.3 * delay_ms**2)
    half = (_ROE - (80 + 2.5 * (terv - 14))) / 2
    return max(0.0, (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-delay_ms)))


def _loss(loss_percent: float, burst_ratio: float) -> float:
    """Return Ie-eff of G.711 (equation 7-29, Ie 0)."""
    return 95 * loss_percent / (loss_percent / burst_ratio + G711_BPL) if loss_percent > 0 else 0.0
