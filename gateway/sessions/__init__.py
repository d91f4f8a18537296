"""The rules by which exchanges become sessions. Pure: no I/O, time comes as an argument."""
