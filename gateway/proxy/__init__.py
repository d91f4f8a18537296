"""The hot path: takes HTTP/1.1 requests, relays them byte for byte, keeps a bounded copy. Knows no LLM API."""
