"""`python -m bpfas.loader` is bpf-load."""

import sys

from bpfas.loader.cli import main

sys.exit(main())
