"""The running kernel: what an Image asks of it, answered by the files of /proc and /sys and by trying.

What is found out stays for all of the process; a RunningKernel itself owns nothing but descriptors of modules'
BTF, and closes them. Source: libbpf 1.8.
"""

from __future__ import annotations

import errno
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bpfas.loader import syscall
from bpfas.loader.errors import Step, load_error
from bpfas.loader.kernel.type_files import SYSFS_BTF, VMLINUX_BTF, running_modules, running_types
from bpfas.loader.kernel.version import running_version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bpfas.loader.kernel.features import Feature, Probe
    from bpfas.loader.kernel.kernel import KernelBtf

POSSIBLE_CPUS = Path("/sys/devices/system/cpu/possible")


def cpu_count(cpu_list: str) -> int:
    """How many CPUs a list such as `0-3,5` has."""
    ends = [part.split("-") for part in cpu_list.strip().split(",") if part]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


@functools.cache
def possible_cpu_count() -> int:
    """How many CPUs the running kernel has made room for."""
    try:
        return cpu_count(POSSIBLE_CPUS.read_text())
    except (OSError, ValueError):
        return os.cpu_count() or 1


class RunningKernel:
    """The kernel that runs this process, a Kernel; for the length of a load, as a context manager.

    `token_fd` is the descriptor of a token that the process has its right to bpf(2) by; features are then tried
    with it.
    """

    is_running = True

    def __init__(self, token_fd: int = 0) -> None:
        self.release = os.uname().release
        self.name = f"the running kernel ({self.release})"
        self.page_size = os.sysconf("SC_PAGE_SIZE")
        self.possible_cpus = possible_cpu_count()
        self._token_fd = token_fd
        self._probes: dict[Feature, Probe] = {}
        self._btf_fds: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors of modules' BTF. The kernel can be asked on, and opens them again."""
        while self._btf_fds:
            os.close(self._btf_fds.popitem()[1])

    @property
    def version(self) -> int:
        """The upstream version; 0 if it cannot be made out."""
        return running_version()

    @property
    def types(self) -> KernelBtf | None:
        """The types of vmlinux; None where the kernel has none."""
        return running_types()

    def modules(self) -> Sequence[KernelBtf]:
        """The types of each loaded module that has any; read again when others are loaded than the last time."""
        if {module.name for module in running_modules()} != _modules_with_types():
            running_modules.cache_clear()
        return running_modules()

    def btf_fd(self, owner: KernelBtf) -> int:
        """A descriptor of a module's BTF, which stays this object's; 0 for vmlinux. Raises LoadError."""
        if owner.first_own_id == 1:
            return 0
        if owner.name not in self._btf_fds:
            try:
                self._btf_fds[owner.name] = _open_module_btf(owner.name)
            except OSError as error:
                raise load_error(Step.OPEN_BTF, f"module {owner.name}", error) from error
        return self._btf_fds[owner.name]

    def config(self) -> tuple[str, str] | None:
        """The text of the configuration and the file it is from; None where there is none."""
        from bpfas.loader.kernel.config_text import running_config  # few objects ask for it

        return running_config()

    def addresses(self, names: Collection[str]) -> Mapping[str, set[int]]:
        """The addresses of symbols in /proc/kallsyms, read anew each time."""
        from bpfas.loader.kernel.kallsyms import addresses_in, read_kallsyms

        return addresses_in(read_kallsyms(), names)

    def has(self, feature: Feature) -> bool:
        """Whether the kernel has a feature; tried once."""
        return self.probe(feature).works

    def probe(self, feature: Feature) -> Probe:
        """The same with what was tried."""
        from bpfas.loader.kernel import probes  # on new kernels, little is tried

        if not self._token_fd:
            return probes.probe(feature)
        if feature not in self._probes:
            self._probes[feature] = probes.probe_with_token(feature, self._token_fd)
        return self._probes[feature]


def _modules_with_types() -> set[str]:
    if not VMLINUX_BTF.exists():
        return set()
    return {path.name for path in SYSFS_BTF.iterdir() if path != VMLINUX_BTF}


def _open_module_btf(name: str) -> int:
    """The descriptor of the BTF of the module called `name`."""
    for btf_id in syscall.ids(syscall.Command.BTF_GET_FD_BY_ID):
        try:
            fd = syscall.btf_get_fd_by_id(btf_id)
        except FileNotFoundError:
            continue  # gone since it was listed
        try:
            info = syscall.btf_info(fd)
        except OSError:
            os.close(fd)
            raise
        if info.is_kernel and info.name == name:
            return fd
        os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
