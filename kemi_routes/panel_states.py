"""Which panel carries a call of people, kept in Redis for whoever would call a panel (docs/contracts.md, section 7).

The story of calls goes through one process (streams.py); what it says of panels is written there, in one command for
each batch. A probe that has the panel loses it in the same moment: whoever runs it looks and hangs up.

A call from a panel takes it whoever has it, for the panel makes one call at a time. A call to a panel takes it from
nobody or from a probe, and stands beside another call that the panel is in: that goes on, and this finds it busy.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING

from kemi_routes import story
from kemi_routes.policy import STRANGER

if TYPE_CHECKING:
    from collections.abc import Iterable

PANEL_CALL = "ep:panel_call:"
CALL_OVER = "ep:call_over:"
SEEN_AT = "ep:panels_seen_at_ms"
# Longer than any call of a panel: for an end that nobody told.
_LONGEST_CALL_S = "900"
_REMEMBERED = 10_000
_TELLING = (
    '{"event":"dialled"',
    story.MOVED,
    story.PANEL_CALLED,
    '{"event":"refused"',
    '{"event":"ended"',
    story.HUNG_UP,
)

_SIGNS = {"dialled": "+", "panel_called": "*", "moved": "m", "refused": "-", "ended": "-", "emergency": "-"}

# A call may be over before its beginning is written: its end leaves a mark. A call to a panel stands beside one that
# the panel is still in: its end may be written a moment later, and whichever ends first must not free the panel.
# The mark of a call that goes on through another node is `m` and how often it has moved: the end that a node before has
# told, or tells yet, is none (agi_apps/redis_keys.py).
SCRIPT = """
for i = 1, #KEYS, 2 do
  local sign, call = string.match(ARGV[2 + (i + 1) / 2], '^(.)(.+)$')
  local held = redis.call('GET', KEYS[i])
  local over = redis.call('GET', KEYS[i + 1])
  if over and string.sub(over, 1, 1) == 'm' then over = false end
  if sign == 'm' then
    local moves, who = string.match(call, '^(%d+) (.+)$')
    call = who
    if over and tonumber(over) >= tonumber(moves) then
      sign = ''
    else
      over = false
      redis.call('SET', KEYS[i + 1], 'm' .. moves, 'EX', ARGV[1])
    end
  end
  if sign == '' then
    -- It is over on its new node, too.
  elseif sign == '-' then
    if held and string.sub(held, 1, 8) == 'visitor ' then
      local left = 'visitor'
      for other in string.gmatch(string.sub(held, 9), '%S+') do
        if other ~= call then left = left .. ' ' .. other end
      end
      if left == 'visitor' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], left, 'KEEPTTL') end
    end
  elseif not over then
    local beside = 'visitor '
    if sign == '*' and held and string.sub(held, 1, 8) == 'visitor ' then beside = held .. ' ' end
    redis.call('SET', KEYS[i], beside .. call, 'EX', ARGV[1])
  end
end
redis.call('SET', ARGV[2], redis.call('TIME')[1] .. '000')
return 1
"""


class PanelStates:
    """Turns events of the story into the command that keeps the state of panels."""

    def __init__(self) -> None:
        self._panels: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def command(self, events: Iterable[str]) -> tuple[str, ...]:
        """Return the command for a batch of events (one JSON object each, or several with commas between them).

        It also says that calls are being watched; a batch without events says that alone. The same batch may come
        again, as often as Redis does not take it.
        """
        keys: list[str] = []
        values: list[str] = []
        for text in events:
            if text.startswith(_TELLING):
                for event in json.loads(f"[{text}]"):
                    self._add(event, keys, values)
        return ("EVAL", SCRIPT, str(len(keys)), *keys, _LONGEST_CALL_S, SEEN_AT, *values)

    def _add(self, event: dict[str, str], keys: list[str], values: list[str]) -> None:
        call_id = event["call_id"]
        panels = self._panels.get(call_id, ())
        if _SIGNS[event["event"]] != "-":
            if event["panel"] == STRANGER:
                return  # a device that nobody knows is no panel, and nobody would tell that it is free
            if event["panel"] not in panels:
                self._panels[call_id] = (*panels, event["panel"])
            panels = (event["panel"],)
            if len(self._panels) > _REMEMBERED:
                self._panels.popitem(last=False)
        elif not panels and event.get("panel", STRANGER) != STRANGER:
            panels = (event["panel"],)  # a long talk, begun more calls ago than are remembered
        moves = f"{event['moves']} " if event["event"] == "moved" else ""
        for panel in panels:
            keys += (PANEL_CALL + panel, CALL_OVER + call_id)
            values.append(f"{_SIGNS[event['event']]}{moves}{call_id}")
