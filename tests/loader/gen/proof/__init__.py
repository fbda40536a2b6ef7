"""The same objects loaded directly and by their loader programs, and what the kernel then has of each, compared.

`programs` has the objects' sources, `corpus` says what they need of a kernel, `ways` executes loader programs,
`processes` and `executables` help it to do so outside of this process, `known_differences` says what may differ
and why. What the kernel has is asked by `tests.loader.proof.facts`.
"""
