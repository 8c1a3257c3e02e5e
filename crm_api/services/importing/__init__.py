"""Imports from CSV: one importer for each noun."""
