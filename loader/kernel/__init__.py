"""What a kernel is like: its types, configuration, symbols, features. The running one, or one that files describe."""
