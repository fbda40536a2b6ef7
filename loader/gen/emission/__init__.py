"""A Script to the instructions and the data of a loader program."""
