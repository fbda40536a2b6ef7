"""Objects whose loading fails in the middle: behind steps that worked, and before others that would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.loader.proof.corpus import CLANG
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = """
#include "proof.h"
const volatile char text[] = "contents";
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); }
    hash SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, int); __type(value, int); }
    inner_1 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32);
    __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = &inner_1 } };
SEC("xdp") int good(struct xdp_md *ctx) { return count() + text[ctx->rx_queue_index & 7]; }
"""
BEHIND = """
SEC("xdp") int good_too(struct xdp_md *ctx) { return count(); }
"""


@dataclass(frozen=True)
class Failing:
    """An object, the errno, what the step is about, and words that the kernel's log must have."""

    name: str
    code: str
    errno: str
    subject: str
    log: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """The object's file."""
        return compiled(Peer.CLANG, BEFORE + self.code + BEHIND, *CLANG, "-mcpu=v3", name=self.name)


FAILING = (
    Failing(
        "bad_types",
        # Such a number is written as the length of an array of int.
        "struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 1 << 30); __uint(key_size, 8);"
        ' __uint(value_size, 4); __uint(map_flags, BPF_F_NO_PREALLOC); } large SEC(".maps");',
        "EINVAL",
        "BTF",
        "Array size overflows U32_MAX",
    ),
    Failing(
        "too_large",
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1 << 22); __type(key, __u32);"
        ' __type(value, char[1 << 20]); } large SEC(".maps");',
        "ENOMEM",
        "large",
    ),
    Failing(
        "refused",
        'SEC("tc") int bad(struct __sk_buff *skb) { __u32 key = 0;'
        " return *(int *)bpf_map_lookup_elem(&hash, &key); }",
        "EACCES",
        "bad",
        "R0 invalid mem access 'map_value_or_null'",
    ),
    Failing(
        "long_log",
        'SEC("tc") int bad(struct __sk_buff *skb) { __u32 key = 0;'
        ' asm volatile(".rept 3000; r0 = 1; .endr" ::: "r0"); '
        "return *(int *)bpf_map_lookup_elem(&hash, &key); }",
        "EACCES",
        "bad",
        "R0 invalid mem access 'map_value_or_null'",
    ),
    Failing(
        "missing_function",
        "extern int no_such_function(int) __ksym; "
        'SEC("tc") int bad(struct __sk_buff *skb) { return no_such_function(1); }',
        "ENOENT",
        "no_such_function",
    ),
    Failing(
        "missing_variable",
        "extern const int no_such_variable __ksym; "
        'SEC("tc") int bad(struct __sk_buff *skb) { return (long)&no_such_variable; }',
        "ENOENT",
        "no_such_variable",
    ),
    Failing(
        "missing_address",
        "extern const void no_such_address __ksym; "
        'SEC("tc") int bad(struct __sk_buff *skb) { return (long)&no_such_address; }',
        "ENOENT",
        "no_such_address",
    ),
    Failing("missing_target", 'SEC("tp_btf/no_such_event") int bad(void *ctx) { return 0; }', "ENOENT", "bad"),
)
