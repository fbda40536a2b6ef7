"""What Python modules that load objects are put together from; see `bpfas.loader.gen.python.module`.

Each part is a module of its own that imports nothing beyond the standard library and other parts, and runs on
Python 3.9. A generated module has the text of the parts that its object needs, so no two parts may define the same
name.
"""
