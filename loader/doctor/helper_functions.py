"""Helpers, tried by loading a program that calls them without arguments: what matters is why it is refused.

A kernel that has a helper, and lets programs of the type call it, complains of the arguments. Source: what
libbpf_probe_bpf_helper of libbpf looks for in the verifier's log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bpfas.helpers import HELPERS
from bpfas.loader.doctor.finding import Finding, Group, Need, State, reason
from bpfas.loader.kernel.trial import EXIT, instruction, try_program
from bpfas.loader.kernel.version import running_version
from bpfas.loader.kinds import AttachType, ProgramFlag, ProgramType, program_type_name
from bpfas.loader.syscall import ProgramLoad

if TYPE_CHECKING:
    from collections.abc import Iterator

_P = ProgramType
_REFUSED = re.compile(r"invalid func |unknown func |program of this type cannot use helper ")


class _Row(NamedTuple):
    """A helper, a type of programs that calls it, and the options that it takes."""

    name: str
    program_type: ProgramType
    options: tuple[str, ...] = ()


_ROWS = (
    _Row("bpf_map_lookup_elem", _P.SOCKET_FILTER),
    _Row("bpf_trace_printk", _P.KPROBE),
    _Row("bpf_ktime_get_boot_ns", _P.SOCKET_FILTER),
    _Row("bpf_ktime_get_tai_ns", _P.SOCKET_FILTER),
    _Row("bpf_get_current_task_btf", _P.KPROBE),
    _Row("bpf_get_current_cgroup_id", _P.KPROBE, ("CONFIG_CGROUPS",)),
    _Row("bpf_probe_read_kernel", _P.KPROBE),
    _Row("bpf_probe_read_user_str", _P.KPROBE),
    _Row("bpf_probe_write_user", _P.KPROBE),
    _Row("bpf_copy_from_user", _P.SYSCALL),
    _Row("bpf_override_return", _P.KPROBE, ("CONFIG_BPF_KPROBE_OVERRIDE",)),
    _Row("bpf_get_attach_cookie", _P.KPROBE),
    _Row("bpf_get_func_ip", _P.KPROBE),
    _Row("bpf_get_stackid", _P.KPROBE),
    _Row("bpf_get_stack", _P.KPROBE),
    _Row("bpf_get_task_stack", _P.KPROBE),
    _Row("bpf_send_signal", _P.KPROBE),
    _Row("bpf_perf_event_output", _P.KPROBE),
    _Row("bpf_ringbuf_output", _P.KPROBE),
    _Row("bpf_user_ringbuf_drain", _P.KPROBE),
    _Row("bpf_task_storage_get", _P.KPROBE),
    _Row("bpf_snprintf", _P.KPROBE),
    _Row("bpf_snprintf_btf", _P.KPROBE, ("CONFIG_DEBUG_INFO_BTF",)),
    _Row("bpf_find_vma", _P.KPROBE),
    _Row("bpf_spin_lock", _P.SCHED_CLS),
    _Row("bpf_timer_init", _P.SCHED_CLS),
    _Row("bpf_loop", _P.SCHED_CLS),
    _Row("bpf_for_each_map_elem", _P.SCHED_CLS),
    _Row("bpf_kptr_xchg", _P.SCHED_CLS),
    _Row("bpf_dynptr_from_mem", _P.SCHED_CLS),
    _Row("bpf_strtol", _P.SCHED_CLS),
    _Row("bpf_sys_bpf", _P.SYSCALL),
    _Row("bpf_btf_find_by_name_kind", _P.SYSCALL),
    _Row("bpf_skb_load_bytes", _P.SCHED_CLS),
    _Row("bpf_redirect_peer", _P.SCHED_CLS),
    _Row("bpf_redirect_neigh", _P.SCHED_CLS),
    _Row("bpf_skb_set_tstamp", _P.SCHED_CLS),
    _Row("bpf_sk_lookup_tcp", _P.SCHED_CLS, ("CONFIG_INET",)),
    _Row("bpf_sk_assign", _P.SCHED_CLS, ("CONFIG_INET",)),
    _Row("bpf_sk_storage_get", _P.SCHED_CLS),
    _Row("bpf_fib_lookup", _P.XDP),
    _Row("bpf_redirect_map", _P.XDP),
    _Row("bpf_xdp_adjust_tail", _P.XDP),
    _Row("bpf_xdp_load_bytes", _P.XDP),
    _Row("bpf_check_mtu", _P.XDP),
    _Row("bpf_tcp_raw_gen_syncookie_ipv4", _P.XDP, ("CONFIG_SYN_COOKIES",)),
    _Row("bpf_msg_push_data", _P.SK_MSG),
    _Row("bpf_sock_ops_cb_flags_set", _P.SOCK_OPS),
    _Row("bpf_get_retval", _P.CGROUP_SOCKOPT),
    _Row("bpf_cgrp_storage_get", _P.CGROUP_SKB, ("CONFIG_CGROUPS",)),
)

_ATTACH_TYPES = {
    _P.CGROUP_SOCKOPT: AttachType.CGROUP_SETSOCKOPT,
    _P.SOCK_OPS: AttachType.CGROUP_SOCK_OPS,
    _P.SK_MSG: AttachType.SK_MSG_VERDICT,
}


def examine_helpers() -> Iterator[Finding]:
    """Each helper that is told of, called."""
    for name, program_type, options in _ROWS:
        helper = HELPERS[name]
        load = ProgramLoad(
            "",
            program_type,
            instruction("call", imm=helper.number) + EXIT,
            b"GPL",
            expected_attach_type=_ATTACH_TYPES.get(program_type, 0),
            flags=ProgramFlag.SLEEPABLE if program_type is _P.SYSCALL else 0,
            kernel_version=running_version(),
        )
        answer = try_program(load, with_log=True)
        type_name = program_type_name(program_type)
        words = f"a program of type {type_name} that calls it was loaded"
        if answer.took_it or (answer.log and not _REFUSED.search(answer.log)):
            yield Finding(Group.HELPERS, name, State.WORKS, f"in {type_name}", tried=words, errno=answer.errno)
            continue
        why = reason(answer.errno, Need(helper.since, options), (program_type,))
        if answer.log:
            cause = _not_callable(type_name) if why.is_general else why.cause
            yield Finding(Group.HELPERS, name, State.FAILS, cause, why.remedy, words, answer.errno)
        else:
            yield Finding(Group.HELPERS, name, State.UNKNOWN, why.cause, why.remedy, words, answer.errno)


def _not_callable(type_name: str) -> str:
    return f"the kernel, as it is built and set, lets no {type_name} program of this process call it"
