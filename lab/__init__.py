"""The whole platform on one machine: its servers, simulated doors and residents, a load generator."""
