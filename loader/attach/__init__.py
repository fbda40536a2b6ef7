"""Attaching programs: one module for each way, and the table of which program goes which way."""
