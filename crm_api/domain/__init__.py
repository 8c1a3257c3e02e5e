"""Pure rules of the CRM: no I/O."""
