"""bpf(2): the only package that talks to the kernel through it.

One function for each command, by what the command is about: `bpf` (the call itself), `maps`, `elements` (many of
them), `programs`, `program_code`, `objects` (pins, ids), `btf`, `links`, `tokens`. `perf` and `memory` have what
Python lacks of other calls: perf_event_open(2), mmap(2); `keys` has add_key(2) and keyctl(2).
"""

from __future__ import annotations

from bpfas.loader.syscall.bpf import Command, syscall_number
from bpfas.loader.syscall.btf import BtfInfo, btf_data, btf_data_by_id, btf_info, btf_load, prog_btf
from bpfas.loader.syscall.elements import BatchResult, Elements
from bpfas.loader.syscall.links import (
    AttachedProgram,
    AttachedPrograms,
    LinkInfo,
    iter_create,
    link_create,
    link_detach,
    link_info,
    link_update,
    prog_attach,
    prog_detach,
    prog_query,
    raw_tracepoint_open,
)
from bpfas.loader.syscall.maps import (
    MapInfo,
    map_create,
    map_delete_elem,
    map_freeze,
    map_get_next_key,
    map_hash,
    map_info,
    map_lookup_elem,
    map_update_elem,
)
from bpfas.loader.syscall.objects import (
    btf_get_fd_by_id,
    fd_by_id,
    ids,
    link_get_fd_by_id,
    map_get_fd_by_id,
    obj_get,
    obj_pin,
    prog_get_fd_by_id,
)
from bpfas.loader.syscall.program_code import ProgramCode, prog_code
from bpfas.loader.syscall.programs import (
    LogBuffer,
    OutputTooSmallError,
    ProgramInfo,
    ProgramLoad,
    RawTestRun,
    prog_bind_map,
    prog_info,
    prog_load,
    prog_map_ids,
    prog_stream_read,
    prog_test_run,
    prog_xlated,
)
from bpfas.loader.syscall.tokens import token_create

__all__ = [
    "AttachedProgram",
    "AttachedPrograms",
    "BatchResult",
    "BtfInfo",
    "Command",
    "Elements",
    "LinkInfo",
    "LogBuffer",
    "MapInfo",
    "OutputTooSmallError",
    "ProgramCode",
    "ProgramInfo",
    "ProgramLoad",
    "RawTestRun",
    "btf_data",
    "btf_data_by_id",
    "btf_get_fd_by_id",
    "btf_info",
    "btf_load",
    "fd_by_id",
    "ids",
    "iter_create",
    "link_create",
    "link_detach",
    "link_get_fd_by_id",
    "link_info",
    "link_update",
    "map_create",
    "map_delete_elem",
    "map_freeze",
    "map_get_fd_by_id",
    "map_get_next_key",
    "map_hash",
    "map_info",
    "map_lookup_elem",
    "map_update_elem",
    "obj_get",
    "obj_pin",
    "prog_attach",
    "prog_bind_map",
    "prog_btf",
    "prog_code",
    "prog_detach",
    "prog_get_fd_by_id",
    "prog_info",
    "prog_load",
    "prog_map_ids",
    "prog_query",
    "prog_stream_read",
    "prog_test_run",
    "prog_xlated",
    "raw_tracepoint_open",
    "syscall_number",
    "token_create",
]
