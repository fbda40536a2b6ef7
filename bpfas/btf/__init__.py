"""BTF, the types of a BPF object: read, merged without duplicates, written, and shown as C."""
