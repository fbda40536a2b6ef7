"""The load phase: `resolve` makes a Plan of an Image and a kernel, `execute` carries it out to a Collection."""
