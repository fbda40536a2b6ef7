"""`python -m bpfas.asm` is bpf-as."""

import sys

from bpfas.asm.cli import main

sys.exit(main())
