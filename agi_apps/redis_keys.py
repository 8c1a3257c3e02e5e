"""Redis keys and streams (docs/contracts.md, 7)."""

from __future__ import annotations

DELIVERED_AT_KEY = "ep:crm_delivered_at_ms"
EVENT_STREAM = "ep:call_events"
EVENT_STREAM_LENGTH = 1_000_000
PUSH_STREAM = "ep:pushes"
PUSH_STREAM_LENGTH = 10_000
EVENT_SOURCE = "agi"
PANEL_CALL_PREFIX = "ep:panel_call:"
CALL_OVER_PREFIX = "ep:call_over:"
CALL_OVER_S = 60
RELEASE_PANELS = """
for i = 1, #KEYS, 2 do
  local moves, call = string.match(ARGV[1 + (i + 1) / 2], '^(%d+) (.+)$')
  local kept = redis.call('GET', KEYS[i + 1])
  local goes_on = kept and string.match(kept, '^m(%d+)$')
  local held = redis.call('GET', KEYS[i])
  if goes_on and tonumber(goes_on) > tonumber(moves) then
    held = false
  else
    redis.call('SET', KEYS[i + 1], moves, 'EX', ARGV[1])
  end
  if held and string.sub(held, 1, 8) == 'visitor ' then
    local left = 'visitor'
    for other in string.gmatch(string.sub(held, 9), '%S+') do
      if other ~= call then left = left .. ' ' .. other end
    end
    if left == 'visitor' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], left, 'KEEPTTL') end
  end
end
"""
"""Frees panels whose calls are over: pairs of keys (the panel's, the call's), then for each how often it had moved, and
the call. One that has moved since goes on through another node."""
PLAN_TTL_S = 24 * 3600
UNKNOWN_NUMBER_TTL_S = 60


def ring_plan_key(panel: str, dialled: str) -> str:
    """Key of a ring plan."""
    return f"ep:ring_plan:{panel}:{dialled}"


def number_lease_key(panel: str) -> str:
    """Key of the number that a panel holds."""
    return f"ep:number_lease:{panel}"


def city_number_key(number: str) -> str:
    """Key of the panel that holds a number."""
    return f"ep:city_number:{number}"
