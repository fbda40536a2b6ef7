"""What the running kernel can do, found out by trying: each feature by the smallest thing that needs it.

A kernel that does not let this process try is judged by its release. Each feature is tried once in a process, or
once for each token. Source: how libbpf's features.c tells kernels apart.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, Linkage
from bpfas.helpers import HELPERS
from bpfas.loader import syscall
from bpfas.loader.instructions import LoadSource
from bpfas.loader.kernel.features import SINCE, Feature, Probe
from bpfas.loader.kernel.kallsyms import addresses_in, read_kallsyms
from bpfas.loader.kernel.trial import (
    EXIT,
    RETURN_0,
    Answer,
    answer_of,
    btf_bytes,
    closing,
    instruction,
    record,
    try_btf,
    try_program,
)
from bpfas.loader.kernel.version import release_text, running_version, version_text
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramType

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.syscall import ProgramLoad

_NOT_ALLOWED = frozenset({errno.EPERM, errno.EACCES})
_PASSING = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR})
"""What a process may run out of, which says nothing of the kernel."""

_GPL = b"GPL"
_ANY_NAME = "probe"
_VALUE_SIZE = 32


class _Verdict(NamedTuple):
    """Whether the kernel has what was tried, and its errno, which may be the very sign that it has it."""

    works: bool
    errno: int = 0


class _Trial(NamedTuple):
    """What is tried for a feature, in words, and doing it with a token's descriptor (0 for none)."""

    tried: str
    run: Callable[[int], _Verdict]


_known: dict[Feature, Probe] = {}
"""What was found out in this process."""


def probe(feature: Feature) -> Probe:
    """Whether the running kernel has a feature. Found out once, unless the process lacked something for trying."""
    if feature in _known:
        return _known[feature]
    found = probe_with_token(feature, 0)
    if found.errno not in _PASSING:
        _known[feature] = found
    return found


def probe_with_token(feature: Feature, token_fd: int) -> Probe:
    """The same for a process that uses a token; nothing is kept."""
    tried, run = _TRIALS[feature]
    try:
        verdict = run(token_fd)
    except OSError as error:  # of a step before the one that tells
        verdict = _Verdict(False, error.errno or 0)
    if not verdict.works and verdict.errno in _NOT_ALLOWED | _PASSING:
        version, since = running_version(), SINCE[feature]
        why = "is not allowed to" if verdict.errno in _NOT_ALLOWED else "lacks what that takes"
        tried += (
            f"; this process {why}, so the release tells: {version_text(version)}, "
            f"and {release_text(since)} was the first"
        )
        return Probe(feature, version >= since, tried, verdict.errno)
    return Probe(feature, verdict.works, tried, verdict.errno)


_TOKEN_FLAG = int(MapFlag.TOKEN_FD)  # the same bit for maps and programs


def _program(
    program_type: ProgramType, instructions: bytes, token_fd: int, attach_type: int = 0, name: str = ""
) -> ProgramLoad:
    flags = _TOKEN_FLAG if token_fd else 0
    return syscall.ProgramLoad(
        name, program_type, instructions, _GPL, expected_attach_type=attach_type, flags=flags, token_fd=token_fd
    )


def _array(token_fd: int, value_size: int = _VALUE_SIZE, flags: int = 0) -> int:
    """The descriptor of a new array map of one element."""
    flags |= _TOKEN_FLAG if token_fd else 0
    return syscall.map_create("", MapType.ARRAY, 4, value_size, 1, flags, token_fd=token_fd)


def _verdict(answer: Answer) -> _Verdict:
    return _Verdict(answer.took_it, answer.errno)


def _loads(
    program_type: ProgramType, instructions: bytes, attach_type: int = 0, name: str = ""
) -> Callable[[int], _Verdict]:
    """The trial of loading a program."""
    return lambda token_fd: _verdict(
        try_program(_program(program_type, instructions, token_fd, attach_type, name))
    )


def _loads_btf(data: bytes) -> Callable[[int], _Verdict]:
    """The trial of loading types."""
    return lambda token_fd: _verdict(try_btf(data, token_fd))


_INT_NAME, _X_NAME, _TAG_NAME = 1, 5, 7
_INT = record(Kind.INT, _INT_NAME, 4, 1 << 24 | 32)
_VAR = record(Kind.VAR, _X_NAME, 1, Linkage.STATIC)
_NO_PARAMETERS = record(Kind.FUNC_PROTO, 0, 1)


def _types(*records: list[int], name: str = "tag") -> bytes:
    """BTF of `int`, type 1, and these records, which may use the names `x` and `name`."""
    return btf_bytes([_INT, *records], ["int", "x", name])


def _datasec(name: str) -> bytes:
    return _types(_VAR, record(Kind.DATASEC, _TAG_NAME, 4, 2, 0, 4, vlen=1), name=name)


_BTF_LAYOUT = struct.pack("=BBHBBH", 0, 0, 0, 4, 0, 0)
"""By kind up to INT: the bytes of its fixed words, of an entry, and flags."""


def _helper(name: str) -> bytes:
    return instruction("call", imm=HELPERS[name].number)


_READ_KERNEL_MEMORY = (
    instruction("mov_reg", dst=1, src=10)
    + instruction("add_imm", dst=1, imm=-8)
    + instruction("mov_imm", dst=2, imm=8)
    + instruction("mov_imm", dst=3, imm=0)
    + _helper("bpf_probe_read_kernel")
    + EXIT
)


def _value_load(map_fd: int, offset: int) -> bytes:
    """The address of a place in a map's value into r1."""
    return instruction("ld_pseudo", dst=1, src=LoadSource.MAP_VALUE, imm=offset << 32 | map_fd)


def _global_data(token_fd: int) -> _Verdict:
    with closing(_array(token_fd)) as map_fd:
        code = _value_load(map_fd, 16) + instruction("stdw", dst=1, off=0, imm=42) + RETURN_0
        return _verdict(try_program(_program(ProgramType.SOCKET_FILTER, code, token_fd)))


def _array_mmap(token_fd: int) -> _Verdict:
    return _verdict(answer_of(lambda: _array(token_fd, flags=MapFlag.MMAPABLE)))


def _bind_map(token_fd: int) -> _Verdict:
    load = _program(ProgramType.SOCKET_FILTER, RETURN_0, token_fd)
    with closing(_array(token_fd)) as map_fd, closing(syscall.prog_load(load)) as prog_fd:
        return _called(lambda: syscall.prog_bind_map(prog_fd, map_fd))


def _module_btf(token_fd: int) -> _Verdict:
    with closing(syscall.btf_load(_types(), token_fd=token_fd)) as btf_fd:
        return _called(lambda: syscall.btf_info(btf_fd))


def _called(call: Callable[[], object]) -> _Verdict:
    try:
        call()
    except OSError as error:
        return _Verdict(False, error.errno or 0)
    return _Verdict(True)


_NO_FD = 0xFFFFFFFF


def _link_refusal(load: ProgramLoad, target: int, attach_type: AttachType, options: bytes = b"") -> int:
    """The errno of making a link that cannot be."""
    with closing(syscall.prog_load(load)) as prog_fd:
        return answer_of(lambda: syscall.link_create(prog_fd, target, attach_type, options=options)).errno


def _perf_link(token_fd: int) -> _Verdict:
    load = _program(ProgramType.TRACEPOINT, RETURN_0, token_fd)
    refusal = _link_refusal(load, _NO_FD, AttachType.PERF_EVENT)
    return _Verdict(refusal == errno.EBADF, refusal)


def _uprobe_multi(token_fd: int) -> _Verdict:
    attach_type = AttachType.TRACE_UPROBE_MULTI
    load = _program(ProgramType.KPROBE, RETURN_0, token_fd, attach_type)
    path, offset = ctypes.create_string_buffer(b"/"), ctypes.c_uint64(0)

    def refusal(pid: int) -> int:
        addresses = (ctypes.addressof(path), ctypes.addressof(offset), 0, 0)
        return _link_refusal(load, 0, attach_type, struct.pack("=4QIIiI", *addresses, 1, 0, pid, 0))

    # A directory has no code. Kernels that tell processes from threads look at the number of the process first.
    of_directory = refusal(0)
    if of_directory != errno.EBADF:
        return _Verdict(False, of_directory)
    of_process = refusal(-1)
    return _Verdict(of_process == errno.EINVAL, of_process)


_SYSCALL_PREFIXES = {
    "x86_64": "x64",
    "aarch64": "arm64",
    "s390x": "s390x",
    "riscv64": "riscv",
    "i686": "ia32",
}
"""By machine, what stands in the names of wrapped system calls."""


def wrapped_syscall(name: str) -> str:
    """What a kernel of this machine that wraps its system calls names one; empty where none does."""
    prefix = _SYSCALL_PREFIXES.get(os.uname().machine)
    return f"__{prefix}_sys_{name}" if prefix else ""


def _syscall_wrapper(_token_fd: int) -> _Verdict:
    name = wrapped_syscall("bpf")
    return _Verdict(bool(name and addresses_in(read_kallsyms(), [name])[name]))


def _arg_ctx_tag(token_fd: int) -> _Verdict:
    names = ["int", "main", "part", "ctx", "arg:ctx"]
    main, part, ctx, tag = 5, 10, 15, 19
    types = btf_bytes(
        [
            _INT,
            record(Kind.PTR),
            record(Kind.FUNC_PROTO, 0, 1, ctx, 2, vlen=1),
            record(Kind.FUNC, main, 3, vlen=Linkage.GLOBAL),
            record(Kind.FUNC, part, 3, vlen=Linkage.GLOBAL),
            record(Kind.DECL_TAG, tag, 5, 0),
        ],
        names,
    )
    code = instruction("call_pseudo", imm=1) + EXIT + _helper("bpf_get_func_ip") + EXIT
    with closing(syscall.btf_load(types, token_fd=token_fd)) as btf_fd:
        load = _program(ProgramType.KPROBE, code, token_fd)
        return _verdict(try_program(load._replace(btf_fd=btf_fd, func_info=struct.pack("=4I", 0, 4, 2, 5))))


def _full_range_offset(token_fd: int) -> _Verdict:
    with closing(_array(token_fd, value_size=1)) as map_fd:
        load = _program(ProgramType.SOCKET_FILTER, _value_load(map_fd, 1 << 30) + RETURN_0, token_fd)
        answer = try_program(load, with_log=True)
    # The offset is beyond the map in any case; what matters is why it is refused.
    return _Verdict("invalid access to map value pointer" in answer.log, answer.errno)


_UPROBE_SYSCALL = 336


def _uprobe_syscall(_token_fd: int) -> _Verdict:
    if os.uname().machine != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return _Verdict(False, errno.ENOSYS)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(ctypes.c_long(_UPROBE_SYSCALL))
    refusal = ctypes.get_errno()
    return _Verdict(refusal in {errno.EPROTO, errno.ENXIO}, refusal)


_TRIALS: dict[Feature, _Trial] = {
    Feature.PROGRAM_NAMES: _Trial(
        "a socket filter with a name was loaded", _loads(ProgramType.SOCKET_FILTER, RETURN_0, name=_ANY_NAME)
    ),
    Feature.GLOBAL_DATA: _Trial(
        "a socket filter was loaded that writes into an array's value by its address", _global_data
    ),
    Feature.BTF: _Trial("BTF of an int was loaded", _loads_btf(_types())),
    Feature.BTF_FUNC: _Trial(
        "BTF of a static function was loaded",
        _loads_btf(_types(_NO_PARAMETERS, record(Kind.FUNC, _X_NAME, 2, vlen=Linkage.STATIC))),
    ),
    Feature.BTF_DATASEC: _Trial("BTF of a section with a variable was loaded", _loads_btf(_datasec("tag"))),
    Feature.BTF_GLOBAL_FUNC: _Trial(
        "BTF of a global function was loaded",
        _loads_btf(_types(_NO_PARAMETERS, record(Kind.FUNC, _X_NAME, 2, vlen=Linkage.GLOBAL))),
    ),
    Feature.ARRAY_MMAP: _Trial("an array with BPF_F_MMAPABLE was created", _array_mmap),
    Feature.EXPECTED_ATTACH_TYPE: _Trial(
        "a cgroup_sock program for cgroup_inet_sock_create was loaded",
        _loads(ProgramType.CGROUP_SOCK, RETURN_0, AttachType.CGROUP_INET_SOCK_CREATE),
    ),
    Feature.PROBE_READ_KERNEL: _Trial(
        "a tracepoint program that calls bpf_probe_read_kernel was loaded",
        _loads(ProgramType.TRACEPOINT, _READ_KERNEL_MEMORY),
    ),
    Feature.PROG_BIND_MAP: _Trial("an array was bound to a socket filter that does not use it", _bind_map),
    Feature.MODULE_BTF: _Trial("a BTF object was asked for its name", _module_btf),
    Feature.BTF_FLOAT: _Trial("BTF of a float was loaded", _loads_btf(_types(record(Kind.FLOAT, _X_NAME, 4)))),
    Feature.PERF_LINK: _Trial(
        "a link of a tracepoint program to no perf event was asked for, which gives EBADF", _perf_link
    ),
    Feature.BTF_DECL_TAG: _Trial(
        "BTF of a variable with a tag was loaded",
        _loads_btf(_types(_VAR, record(Kind.DECL_TAG, _TAG_NAME, 2, -1))),
    ),
    Feature.BTF_TYPE_TAG: _Trial(
        "BTF of a pointer to a type with a tag was loaded",
        _loads_btf(_types(record(Kind.TYPE_TAG, _TAG_NAME, 1), record(Kind.PTR, 0, 2))),
    ),
    Feature.MEMCG_ACCOUNTING: _Trial(
        "a socket filter that calls bpf_ktime_get_coarse_ns was loaded, which came with it",
        _loads(ProgramType.SOCKET_FILTER, _helper("bpf_ktime_get_coarse_ns") + EXIT),
    ),
    Feature.BPF_COOKIE: _Trial(
        "a tracepoint program that calls bpf_get_attach_cookie was loaded",
        _loads(ProgramType.TRACEPOINT, _helper("bpf_get_attach_cookie") + EXIT),
    ),
    Feature.BTF_ENUM64: _Trial(
        "BTF of an enumeration of 64 bits was loaded",
        _loads_btf(_types(record(Kind.ENUM64, 0, 8, _X_NAME, 0, 1, vlen=1))),
    ),
    Feature.SYSCALL_WRAPPER: _Trial(
        "/proc/kallsyms was searched for bpf(2) under the name of a wrapped system call", _syscall_wrapper
    ),
    Feature.UPROBE_MULTI_LINK: _Trial(
        "links to uprobes in the directory / were asked for, which give EBADF, and EINVAL for process -1",
        _uprobe_multi,
    ),
    Feature.ARG_CTX_TAG: _Trial(
        "a kprobe program was loaded with a global function that uses a void * tagged arg:ctx as its context",
        _arg_ctx_tag,
    ),
    Feature.BTF_QMARK_DATASEC: _Trial("BTF of a section called ?.data was loaded", _loads_btf(_datasec("?.data"))),
    Feature.LDIMM64_FULL_RANGE_OFF: _Trial(
        "a socket filter that takes an address 1 GiB into a map was loaded, for the reason why it is refused",
        _full_range_offset,
    ),
    Feature.UPROBE_SYSCALL: _Trial(
        "uprobe(2) was called outside of a uprobe, which gives EPROTO or ENXIO", _uprobe_syscall
    ),
    Feature.BTF_LAYOUT: _Trial(
        "BTF of an int with the layout of kinds was loaded", _loads_btf(btf_bytes([_INT], ["int"], _BTF_LAYOUT))
    ),
}
