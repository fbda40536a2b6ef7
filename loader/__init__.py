"""The loader: an object file to an Image, and an Image into the kernel."""
