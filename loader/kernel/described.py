"""A kernel that files describe, for dry runs: its types, its configuration, its release.

What no file says is judged by the release; without a release the types tell from which release on the kernel must
be, and where they do not tell either, it is taken for a new one. Nothing is asked of the machine at hand.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bpfas.helpers import HELPERS
from bpfas.loader.core.compatible import ENUMS
from bpfas.loader.kernel.config_text import option, release_in
from bpfas.loader.kernel.features import SINCE, Feature
from bpfas.loader.kernel.kallsyms import addresses_in
from bpfas.loader.kernel.version import parse_version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bpfas.loader.kernel.kernel import KernelBtf

DEFAULT_PAGE_SIZE = 4096


class DescribedKernel:
    """A Kernel out of files. What is not given is not known: no types, no configuration, no symbols.

    `release` is as `uname -r` has it; empty for that which the title of `config` names. `config` is the text of
    the configuration and the file's name, `kallsyms` the contents of a /proc/kallsyms.
    """

    is_running = False

    def __init__(
        self,
        types: KernelBtf | None = None,
        modules: Sequence[KernelBtf] = (),
        *,
        config: tuple[str, str] | None = None,
        release: str = "",
        kallsyms: bytes = b"",
        page_size: int = DEFAULT_PAGE_SIZE,
        possible_cpus: int = 1,
        name: str = "",
    ) -> None:
        self.types = types
        self.release = release or (release_in(config[0]) if config else "")
        self.page_size = page_size
        self.possible_cpus = possible_cpus
        self.name = name or (types.btf.object_name if types else self.release or "the described kernel")
        self._modules = tuple(modules)
        self._config = config
        self._kallsyms = kallsyms

    @property
    def version(self) -> int:
        """The version that the release begins with; 0 where there is no release."""
        return parse_version(self.release)

    def modules(self) -> Sequence[KernelBtf]:
        """The types of the modules that were given."""
        return self._modules

    def btf_fd(self, owner: KernelBtf) -> int:  # noqa: ARG002
        """0: files have no descriptors."""
        return 0

    def config(self) -> tuple[str, str] | None:
        """The configuration that was given."""
        return self._config

    def addresses(self, names: Collection[str]) -> Mapping[str, set[int]]:
        """The addresses in the list of symbols that was given."""
        return addresses_in(self._kallsyms, names)

    def has(self, feature: Feature) -> bool:
        """Whether a kernel of this release has the feature, if it is not a matter of the configuration."""
        if feature is Feature.SYSCALL_WRAPPER and self._config is not None:
            return option(self._config[0], "CONFIG_ARCH_HAS_SYSCALL_WRAPPER") == "y"
        return not self.is_dated or (self.version or self._lowest_version) >= SINCE[feature]

    @property
    def is_dated(self) -> bool:
        """Whether anything tells how old the kernel is; types that are there for CO-RE alone do not."""
        return self.types is None or bool(self.version or self._lowest_version)

    @cached_property
    def _lowest_version(self) -> int:
        """The release that the newest thing in the types came with."""
        if self.types is None:
            return 0
        names = {f"BPF_FUNC_{name.removeprefix('bpf_')}": helper.since for name, helper in HELPERS.items()}
        known = {**names, **_MARKERS}
        btf = self.types.btf
        return max(
            (
                parse_version(known[enumerator.name])
                for enum in _ENUMS
                for type_id in self.types.ids_named(enum)
                if btf.kind(type_id) in ENUMS
                for enumerator in btf.enumerators(type_id)
                if enumerator.name in known
            ),
            default=0,
        )


_ENUMS = ("bpf_func_id", "bpf_attach_type", "bpf_map_type", "bpf_cmd")
_MARKERS = {
    "BPF_NETFILTER": "6.4",
    "BPF_TCX_INGRESS": "6.6",
    "BPF_NETKIT_PRIMARY": "6.7",
    "BPF_TOKEN_CREATE": "6.9",
    "BPF_MAP_TYPE_ARENA": "6.9",
    "BPF_TRACE_KPROBE_SESSION": "6.10",
    "BPF_TRACE_UPROBE_SESSION": "6.13",
    "BPF_PROG_STREAM_READ_BY_FD": "6.17",
    "BPF_MAP_TYPE_INSN_ARRAY": "6.19",
    "BPF_TRACE_FSESSION": "7.0",
}
"""Enumerators, and the release that brought each; of helpers, `bpfas.helpers` knows."""
