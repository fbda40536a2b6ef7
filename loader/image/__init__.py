"""The open phase: objects to an Image, the same on every machine and without privilege.

`build` is the entry; it reads as the list of what an object has. Nothing here asks the running kernel anything.
"""
