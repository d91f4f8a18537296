"""Exchanges that wait for a person."""
