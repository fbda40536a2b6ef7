"""Loader programs as C headers, as `bpftool gen skeleton -L` writes them."""
