"""What agents look for and what they say: policy files, detectors, one linear scan. No I/O but reading policy files."""
