"""Reading and merging of many types at once, as columns of numbers. Imported only where there are many.

It gives what the modules above it give, which do the same type by type and also say what is wrong.
"""
