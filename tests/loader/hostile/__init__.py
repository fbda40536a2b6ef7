"""Objects with wrong numbers in them, loaded."""
