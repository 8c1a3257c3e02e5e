"""SIP registration and routing, run inside Kamailio; standard library only."""
