"""Every endpoint of the API, declared: one module for each group of nouns."""
