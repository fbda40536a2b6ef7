"""The same objects loaded by libbpf and by this loader, and what the kernel then has of each, compared.

`programs` has the C of them, `corpus` says what they need of a kernel, `facts` asks the kernel, `libbpf` and
`ours` load, `known_differences` says where the two may differ and why.
"""
