"""The objects of the proof: which C, compiled how, and what a kernel must have for which of their programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader.kinds import AttachType, MapType, ProgramFlag, ProgramType
from tests.loader.kernel_support import Need, in_btf, kfunc, listed, map_type, module, program_type, what_is_wrong
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.loader.kernel_support import Requirement

FOLDER = Path(__file__).with_name("programs")
HEADERS = ("-I/usr/include/x86_64-linux-gnu", f"-I{FOLDER}")
CLANG = ("--target=bpf", "-O2", "-g", "-fno-ident", *HEADERS)
GCC = ("-O2", "-gbtf", "-mcpu=v3", "-I/usr/include", *HEADERS)


@dataclass(frozen=True)
class Proof:
    """An object: what all of it needs, what single programs need, and which ones every kernel refuses.

    It is made of `name`.c in `folder`. Where kernels are of different minds, programs are `undecided`: one kernel
    has to say the same to both loaders.
    """

    name: str
    needs: tuple[Requirement, ...] = ()
    program_needs: Mapping[str, tuple[Requirement, ...]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    undecided: frozenset[str] = frozenset()
    kconfig: str = ""
    by_gcc: bool = False
    folder: Path = FOLDER

    def __str__(self) -> str:
        return self.name

    def object(self, *options: str, compiler: Peer = Peer.CLANG) -> Path:
        """The compiled object."""
        source = (self.folder / f"{self.name}.c").read_text()
        return compiled(compiler, source, *(CLANG if compiler is Peer.CLANG else GCC), *options, name=self.name)

    def problem(self, program: str) -> str:
        """Why the running kernel must refuse a program; empty where it must take it."""
        if program in self.refused:
            return self.refused[program]
        problems = map(what_is_wrong, self.program_needs.get(program, ()))
        return next(filter(None, problems), "")


def needing(*names: str, needs: tuple[Requirement, ...]) -> dict[str, tuple[Requirement, ...]]:
    """The same needs for several programs."""
    return dict.fromkeys(names, needs)


SLEEPABLE_TEST_FUNCTION = in_btf("sleepable function for programs to modify", "register_btf_fmodret_id_set")
UNIX_SOCKETS = in_btf("programs for addresses of Unix sockets", "CGROUP_UNIX_CONNECT")

OPEN_CODED_ITERATORS = kfunc("bpf_iter_num_new")

CORPUS = (
    Proof(
        "sections_network",
        program_needs={
            "on_netfilter": (program_type(ProgramType.NETFILTER, AttachType.NETFILTER),),
            "on_lirc_mode2": (program_type(ProgramType.LIRC_MODE2, AttachType.LIRC_MODE2),),
        },
        by_gcc=True,
    ),
    Proof(
        "sections_cgroup",
        program_needs=needing(
            *(f"on_{name}_unix" for name in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname")),
            needs=(UNIX_SOCKETS,),
        ),
        by_gcc=True,
    ),
    Proof(
        "sections_probes",
        program_needs={
            **needing(
                *("on_tracepoint_sleepable", "on_tp_sleepable"),
                needs=(program_type(ProgramType.TRACEPOINT, flags=ProgramFlag.SLEEPABLE),),
            ),
            **needing(
                *("on_raw_tracepoint_sleepable", "on_raw_tp_sleepable"),
                needs=(program_type(ProgramType.RAW_TRACEPOINT, flags=ProgramFlag.SLEEPABLE),),
            ),
        },
    ),
    Proof(
        "sections_tracing",
        needs=(Need.BTF,),
        program_needs={
            **needing(
                *("fentry", "fexit", "fmod_ret", "fentry_vmlinux"),
                needs=(Need.TRAMPOLINES,),
            ),
            **needing(
                *("fentry_sleepable", "fexit_sleepable", "fmod_ret_sleepable"),
                needs=(Need.TRAMPOLINES, SLEEPABLE_TEST_FUNCTION),
            ),
            **needing("fsession", "fsession_sleepable", needs=(Need.TRAMPOLINES, Need.TRACING_SESSION)),
            **needing(
                *("fentry_multi", "fexit_multi", "fsession_multi"),
                *("fentry_multi_sleepable", "fexit_multi_sleepable", "fsession_multi_sleepable"),
                needs=(Need.TRAMPOLINES, Need.TRACING_MULTI),
            ),
            **needing("lsm", "lsm_sleepable", needs=(Need.BPF_LSM,)),
            "lsm_cgroup": (Need.BPF_LSM, Need.LSM_CGROUP),
        },
        # 6.1 takes it, 6.12 does not, and later kernels do for tracepoints that may fault.
        undecided=frozenset({"tp_btf_sleepable"}),
    ),
    Proof(
        "kconfig",
        kconfig="CONFIG_BPF_SMALL=-7\nCONFIG_LOG_BUF_SHIFT=18\nCONFIG_HZ=0x64\n"
        'CONFIG_DEFAULT_HOSTNAME="longer than fits"\n',
    ),
    Proof(
        "ksyms",
        needs=(Need.BTF,),
        program_needs={"variables": (listed("bpf_prog_active"),)},
        refused={"missing_function_is_reached": "it calls a function that no kernel has"},
    ),
    Proof("ksyms_module", needs=(module("nf_conntrack", "nf_conntrack_in"), Need.MODULE_BTF)),
    Proof("references"),
    Proof(
        "core",
        needs=(Need.BTF,),
        refused={"poison_is_reached": "it reads a field that no kernel has"},
    ),
    Proof("maps"),
    Proof("maps_new", needs=(map_type(MapType.CGRP_STORAGE),)),
    Proof("struct_ops", needs=(Need.BTF, Need.TRAMPOLINES)),
)
"""What libbpf 1.1 can load, once it is told of section names that it does not know."""

BEYOND_LIBBPF = (
    Proof("arena", needs=(Need.ARENA,)),
    Proof("exceptions", needs=(Need.EXCEPTIONS,)),
    Proof("iterators", needs=(OPEN_CODED_ITERATORS,)),
    Proof("struct_ops_link", needs=(Need.TRAMPOLINES, Need.STRUCT_OPS_LINK)),
    Proof("jump_tables", needs=(Need.INSN_ARRAY,)),
)
"""What came later: the tests say what is to happen."""

ALL = (*CORPUS, *BEYOND_LIBBPF, Proof("replacement"), Proof("freplace"))
