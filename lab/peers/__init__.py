"""Simulated doors and residents: real SIP user agents (baresip) and scripted SIP peers with real RTP."""
