"""Reading and merging of many types at once, as columns of numbers. Imported only where there are many.

It gives what the modules above it give, which do the same type by type and also say what is wrong.
"""

import numpy as np

# Columns are made and dropped by the hundred. The GNU C library gives a large block back to the kernel at once and
# gets every page of the next one anew, until it has seen a program drop one that is as large: let it see one.
np.empty(31 << 20, np.uint8)
