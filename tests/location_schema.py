"""The schemas of a location (tests/schemas), and what they leave open: nothing is fetched to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from lxml import etree

SCHEMAS: Final = Path(__file__).parent / "schemas"
METHODS: Final = frozenset({"GPS", "A-GPS", "Manual", "DHCP", "Triangulation", "Cell", "802.11"})
"""How a place was found out: the registry that RFC 4119, 6.1 begins; its schema takes any text."""


class _Kept(etree.Resolver):  # type: ignore[misc]  # lxml publishes no types
    """Gives the one schema that the RFCs' name by its address in the web."""

    def resolve(self, system_url: str, _public_id: str, context: Any) -> Any:
        """Return the file for an address; what is no file of ours is refused, so that no test asks the network."""
        if system_url == "http://www.w3.org/2001/xml.xsd":
            return self.resolve_filename(str(SCHEMAS / "xml.xsd"), context)
        if not system_url.startswith(str(SCHEMAS)):
            raise FileNotFoundError(f"no schema is kept for {system_url}")
        return None


def _read() -> Any:
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Kept())
    return etree.XMLSchema(etree.parse(SCHEMAS / "location.xsd", parser))


SCHEMA: Final = _read()


def wrong_with(root: Any) -> str | None:
    """Say what is wrong with a location; None when nothing is."""
    if not SCHEMA.validate(root):
        return str(SCHEMA.error_log.last_error)
    methods = {found.text for found in root.iter("{urn:ietf:params:xml:ns:pidf:geopriv10}method")}
    return f"method {methods - METHODS}" if methods - METHODS else None
