"""spangate: a proxy gateway for LLM APIs that turns each call into a span of its session."""

__version__ = "0.1.0"
