"""What is loaded, live: maps, programs, variables, buffers."""
