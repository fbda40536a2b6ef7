"""Loader programs as Python modules that need the standard library alone."""
