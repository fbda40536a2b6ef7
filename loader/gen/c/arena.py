"""An arena in a C header: where it will lie is decided before loading, what is in it comes there afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.c.skeleton import Part, is_arena
from bpfas.loader.gen.loader_program import FactKind

if TYPE_CHECKING:
    from bpfas.loader.gen.c.skeleton import Skeleton

_SHARED = """\
#ifndef BPFAS_SKEL_ARENA
#define BPFAS_SKEL_ARENA
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
/* addresses for size bytes that agree in their upper 32 bits, taken until they are unmapped; NULL for none */
static inline void *bpfas_skel_reserve(unsigned long long wanted, size_t size)
{
	unsigned long long start, first;
	void *memory;

	if (wanted) {
		memory = mmap((void *)(unsigned long)wanted, size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (memory == MAP_FAILED)
			return NULL;
		if (memory == (void *)(unsigned long)wanted)
			return memory;
		munmap(memory, size);
		errno = EEXIST;
		return NULL;
	}
	memory = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	first = start = (unsigned long)memory;
	if (start >> 32 != (start + size - 1) >> 32)
		start = ((start >> 32) + 1) << 32;
	if (start > first)
		munmap((void *)(unsigned long)first, start - first);
	munmap((void *)(unsigned long)(start + size), first + size - start);
	return (void *)(unsigned long)start;
}

static inline unsigned long bpfas_skel_arena_address(int fd)
{
	struct bpf_map_info info;
	union bpf_attr attr;

	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (__u64)(unsigned long)&info;
	skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, offsetofend(union bpf_attr, info));
	return info.map_extra;
}
#endif

"""

_STATE = """\
		void *arena;
		size_t arena_size;
		int arena_is_mapped;
"""

_PREPARED = """\
	if (!skel->runner.arena) {
		size_t pages = skel->maps.${map}.max_entries ? skel->maps.${map}.max_entries : ${pages};
		size_t size = pages * sysconf(_SC_PAGESIZE);

		if (size < ${needed}) {
			skel->runner.failure = "cannot create map ${shown}: it has fewer pages than its data takes";
			return -E2BIG;
		}
		skel->runner.arena = bpfas_skel_reserve(${wanted}, size);
		if (!skel->runner.arena) {
			skel->runner.failure = "cannot find addresses for map ${shown}";
			return ${X}__error(-ENOMEM);
		}
		skel->runner.arena_size = size;
	}
	skel->loader.${fact} = (__u64)(unsigned long)skel->runner.arena;
"""

_LOADED = """\
	if (bpfas_skel_arena_address(skel->maps.${map}.map_fd) != (unsigned long)skel->runner.arena) {
		munmap(skel->runner.arena, skel->runner.arena_size); /* one that was there before lies elsewhere */
		skel->runner.arena = NULL;
	}
	if (skel->runner.arena &&
		mmap(skel->runner.arena, skel->runner.arena_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			skel->maps.${map}.map_fd, 0) == MAP_FAILED) {
		skel->runner.failure = "cannot map ${shown} into memory";
		return ${X}__error(-ENOMEM);
	}
	skel->runner.arena_is_mapped = !!skel->runner.arena;
"""

_FILLED = """\
	if (skel->runner.arena)
		memcpy((char *)skel->runner.arena + ${offset}, (const void *)skel->${pointer}, ${size});
	munmap((void *)skel->${pointer}, ${size});
"""

_POINTED = """\
	/* NULL of an arena that was there before: whoever made it says where it lies */
	skel->${pointer} = skel->runner.arena ?
		(__typeof__(skel->${pointer}))((char *)skel->runner.arena + ${offset}) : NULL;
"""

_DESTROYED = """\
	if (skel->runner.arena)
		munmap(skel->runner.arena, skel->runner.arena_size);
"""

_DESTROYED_DATA = """\
	if (skel->${pointer} && !skel->runner.arena_is_mapped)
		munmap((void *)skel->${pointer}, ${size});
"""


def arena_part(skeleton: Skeleton) -> Part | None:
    """What gives an arena its place and its data."""
    spec = next((spec for spec in skeleton.specs() if is_arena(spec) and spec.autocreate), None)
    if spec is None:
        return None
    size = len(spec.contents or b"")
    address = f"skel->loader.{skeleton.fact(FactKind.ARENA_ADDRESS, spec.name)}"
    values = {
        "map": skeleton.maps[spec.name],
        "shown": skeleton.map_functions[spec.name],
        "pages": spec.max_entries,
        "needed": spec.data_offset + size,
        "fact": skeleton.fact(FactKind.ARENA_ADDRESS, spec.name),
        "wanted": f"{address} ? {address} : {spec.map_extra:#x}ULL" if spec.map_extra else address,
        "pointer": skeleton.pointers[spec.name],
        "offset": spec.data_offset,
        "size": size,
    }
    loaded = _LOADED + (_FILLED if size else "") + _POINTED
    return Part(
        includes=("string.h", "sys/mman.h", "unistd.h"),
        shared=_SHARED,
        state=_STATE,
        prepared=skeleton.fill(_PREPARED, **values),
        loaded=skeleton.fill(loaded, **values),
        destroyed=skeleton.fill(_DESTROYED + (_DESTROYED_DATA if size else ""), **values),
        needs="an arena is mapped into memory",
    )
