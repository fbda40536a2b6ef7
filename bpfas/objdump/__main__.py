"""`python -m bpfas.objdump` is bpf-objdump."""

import sys

from bpfas.objdump.cli import main

sys.exit(main())
