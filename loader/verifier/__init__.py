"""The verifier's log: read, joined with the program's source, and what to do about it."""
