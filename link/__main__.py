"""`python -m bpfas.link` is bpf-ld."""

import sys

from bpfas.link.cli import main

sys.exit(main())
