"""Where sessions live between exchanges: one engine a file, all behind `contracts.SessionState`."""
