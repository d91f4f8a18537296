"""What an agent looks with: patterns and keywords, secrets, entities. Each only describes; the scan is in `compile`."""
