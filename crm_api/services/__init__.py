"""What the CRM does; every service owns its transaction."""
