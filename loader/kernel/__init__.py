"""What a kernel is like: its types, configuration, symbols, features. It runs, or files describe it."""
