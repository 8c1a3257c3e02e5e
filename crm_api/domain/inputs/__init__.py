"""What may be asked of the CRM: one model for each request body and query; an unknown field is an error."""
