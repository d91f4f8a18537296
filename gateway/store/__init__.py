"""Sessions, exchanges, messages and assessments on disk: one writer, many readers."""
