"""Data only: what an exchange, a message, a session, a verdict and a span are. Imports msgspec, nothing of ours."""
