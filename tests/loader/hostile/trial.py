"""Loading what may be hostile: that gives what runs, or a typed error, and leaves nothing behind.

Every object is opened, its variables read and written, resolved for a kernel of files and for the running one,
loaded, run, and closed; and the same by a loader program, which is written in all formats. What would take much of
the machine's memory in the kernel is not loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.btf.codecs import EncodingError
from bpfas.diag import BpfasError
from bpfas.loader import load_plan, open_image, resolve
from bpfas.loader.core.survey import survey
from bpfas.loader.errors import KernelError
from bpfas.loader.gen import generate, read_raw, run, trace_json, trace_text, write_raw
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.files.elf_object import elf_object
from bpfas.loader.gen.python.module import python_module
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.running import RunningKernel
from bpfas.loader.kernel.type_files import types_in_file
from bpfas.loader.kinds import ProgramType
from bpfas.loader.loading.options import LoadOptions
from bpfas.loader.loading.plan_text import plan_json, plan_text
from tests.conftest import WHY_NO_BPF

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from bpfas.loader import Image
    from bpfas.loader.gen import LoaderProgram
    from bpfas.loader.loading.plan import Plan
    from bpfas.loader.spec import MapSpec

_MOST_MEMORY = 1 << 25
"""Bytes that all maps of an object may take for it to be loaded."""
_MOST_ELEMENTS = 8
_PACKET = bytes(64)
_RUN = (ProgramType.XDP, ProgramType.SCHED_CLS, ProgramType.SOCKET_FILTER)
_CONFIG = '# Linux/x86 6.18.0 Kernel Configuration\nCONFIG_HZ=250\nCONFIG_DEFAULT_HOSTNAME="host"\n'


class QuickKernel(RunningKernel):
    """The running kernel, of which a name's addresses are asked once."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: dict[frozenset[str], Mapping[str, set[int]]] = {}

    def addresses(self, names: Collection[str]) -> Mapping[str, set[int]]:
        """The addresses of symbols."""
        key = frozenset(names)
        if key not in self._addresses:
            self._addresses[key] = super().addresses(names)
        return self._addresses[key]


class Bench:
    """Where objects are tried; `kernel_btf` are the types of the kernel of files."""

    def __init__(self, directory: Path, kernel_btf: bytes) -> None:
        self._directory = directory
        self.described = self.kernel(kernel_btf)
        self.running = None if WHY_NO_BPF else QuickKernel()

    def kernel(self, btf: bytes, config: str = _CONFIG) -> DescribedKernel:
        """A kernel with the types that a file of these bytes has. Raises BpfasError."""
        file = self._directory / "kernel.btf"
        file.write_bytes(btf)
        return DescribedKernel(types_in_file(file), config=(config, "config"), release="6.18.0")

    def refused_programs(self, data: bytes) -> frozenset[str]:
        """The programs of an object that the running kernel refuses."""
        refused: set[str] = set()
        while True:
            try:
                self._trial(data, "", refused)
            except KernelError as error:
                name = error.subject.rpartition("program ")[2]
                if name in refused:
                    raise
                refused.add(name)
            except BpfasError:
                break
            else:
                break
        return frozenset(refused)

    def trial(self, data: bytes, kconfig: str = "", without: Collection[str] = ()) -> str:
        """What becomes of an object: `refused`, `resolved` (too large to be loaded), `loaded`, or `run`.

        The programs `without` are not loaded.
        """
        before = descriptors()
        try:
            return self._trial(data, kconfig, without)
        except BpfasError as error:
            return _refusal(error)
        finally:
            assert descriptors() == before, "descriptors are left open"

    def trial_of_types(self, data: bytes, btf: bytes, config: str = _CONFIG) -> str:
        """What becomes of a good object for a kernel whose BTF may be hostile."""
        before = descriptors()
        try:
            image = open_image(data, name="good.o")
            kernel = self.kernel(btf, config)
            list(survey(image, [kernel]))
            plan_text(resolve(image, kernel))
        except BpfasError as error:
            return _refusal(error)
        finally:
            assert descriptors() == before, "descriptors are left open"
        return "resolved"

    def _trial(self, data: bytes, kconfig: str, without: Collection[str]) -> str:
        image = open_image(data, name="hostile.o")
        for name in without:
            if name in image.programs:
                image.set_program(name, autoload=False)
        _look_at(image)
        for _ in survey(image, [self.described]):
            pass
        with contextlib.suppress(BpfasError):
            plan = resolve(image, self.described, LoadOptions(kconfig=kconfig))
            plan_text(plan)
            plan_json(plan)
        program = _generated(image)
        if self.running is None or _memory(image) > _MOST_MEMORY:
            return "resolved"
        with self.running as kernel, pin_root() as root:
            options = LoadOptions(kconfig=kconfig, pin_root=root)
            if program:
                with contextlib.suppress(BpfasError), run(program, options):
                    pass
            return _load(resolve(image, kernel, options), kernel, options)


def _refusal(error: BpfasError) -> str:
    assert str(error).strip()
    return "refused"


def _look_at(image: Image) -> None:
    """What a program that configures an object may do to any."""
    for name in image.data:
        with contextlib.suppress(EncodingError):
            image.data[name] = image.data[name]
    for program in image.programs.values():
        for part in program.parts:
            part.line(part.instruction)


def _generated(image: Image) -> LoaderProgram | None:
    """The loader program, as it is read from a file; None where there can be none."""
    with contextlib.suppress(BpfasError):
        program = generate(image)
        trace_text(program.script)
        json.dumps(trace_json(program.script))
        compile(python_module(program), "generated.py", "exec")
        for write in (c_header, elf_object):
            with contextlib.suppress(BpfasError):
                write(program)
        return read_raw(write_raw(program))
    return None


def _load(plan: Plan, kernel: RunningKernel, options: LoadOptions) -> str:
    with load_plan(plan, kernel, options) as app:
        for name in app.data:
            with contextlib.suppress(EncodingError, KernelError):
                app.data[name] = app.data[name]
        for each in app.maps.values():
            with contextlib.suppress(EncodingError, KernelError):
                list(islice(each.items(), _MOST_ELEMENTS))
        runs = 0
        for program in app.programs.values():
            if program.spec.program_type in _RUN:
                with contextlib.suppress(KernelError):
                    program.test_run(_PACKET)
                    runs += 1
    return "run" if runs else "loaded"


def _memory(image: Image) -> int:
    """Bytes that the kernel may take for the maps."""
    return sum(_size(spec) for spec in image.maps.values() if spec.autocreate)


def _size(spec: MapSpec) -> int:
    cpus = os.cpu_count() or 1
    size = (spec.key_size + spec.value_size * cpus + 64) * spec.max_entries
    return size + (_size(spec.inner) if spec.inner else 0)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def pin_root() -> Iterator[Path]:
    """A directory for pins, and nothing left of it."""
    root = Path("/sys/fs/bpf")
    directory = Path(tempfile.mkdtemp(prefix="hostile-", dir=root if os.path.ismount(root) else None))
    try:
        yield directory
    finally:
        for name in os.listdir(directory):
            (directory / name).unlink()
        directory.rmdir()
