"""Running loader programs on this machine: the program, and what only its surroundings can do."""
