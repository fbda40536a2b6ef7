"""What a C header finds out about the machine, or is told: CPUs, targets of programs, pinned maps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bpfas.loader.gen.c.btf import FUNCTION_OF_PROGRAM, READ_BTF
from bpfas.loader.gen.c.data import commented, quoted
from bpfas.loader.gen.c.files import READ_FILE
from bpfas.loader.gen.c.skeleton import Part
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.kinds import MapType
from bpfas.loader.loading.options import NO_OPTIONS
from bpfas.loader.loading.pins import map_pin_path

if TYPE_CHECKING:
    from bpfas.loader.gen.c.skeleton import Skeleton
    from bpfas.loader.spec import MapSpec

_CPUS = """\
#ifndef BPFAS_SKEL_CPUS
#define BPFAS_SKEL_CPUS
/* how many CPUs the kernel has made room for */
static inline unsigned int bpfas_skel_possible_cpus(void)
{
#ifdef __KERNEL__
	return num_possible_cpus();
#else
	unsigned int first, last, count = 0;
	FILE *list = fopen("/sys/devices/system/cpu/possible", "re");

	while (list && fscanf(list, "%u", &first) == 1) {
		int next = fgetc(list);

		last = first;
		if (next == '-' && fscanf(list, "%u", &last) == 1)
			next = fgetc(list);
		if (last >= count)
			count = last + 1;
		if (next != ',')
			break;
	}
	if (list)
		fclose(list);
	return count;
#endif
}
#endif

"""

_SET_TARGET = """\
/*
 * Says which function of which loaded program ${program} replaces; NULL for the one called
 * ${shown}. To be called before load().
 */
static inline int
${X}__${function}__set_target(struct $X *skel, int target_fd, const char *function)
{
	int type_id = bpfas_skel_function_of_program(target_fd, function ? function : ${target});

	if (type_id < 0)
		return type_id;
	skel->loader.${fd_fact} = target_fd;
	skel->loader.${type_fact} = type_id;
	return 0;
}

"""

_PINS = """\
#ifndef BPFAS_SKEL_PINS
#define BPFAS_SKEL_PINS
/* a map that is shared by a name in a BPF file system; desc is the place of its descriptor in the skeleton */
struct bpfas_skel_pin {
	const char *path;
	const char *failure;
	size_t desc;
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 map_flags;
	__u64 map_extra;
};

static inline struct bpf_map_desc *bpfas_skel_pin_desc(void *skel, const struct bpfas_skel_pin *pin)
{
	return (struct bpf_map_desc *)((char *)skel + pin->desc);
}

/* the descriptor of the map that is pinned, 0 for none; -EINVAL for a map that is not like that of the object */
static inline int bpfas_skel_open_pin(const struct bpfas_skel_pin *pin, __u32 max_entries)
{
	struct bpf_map_info info;
	union bpf_attr attr;
	__u32 flags;
	int fd, err;

	memset(&attr, 0, sizeof(attr));
	attr.pathname = (__u64)(unsigned long)pin->path;
	fd = skel_sys_bpf(BPF_OBJ_GET, &attr, offsetofend(union bpf_attr, file_flags));
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (pin->type == ${ringbuf} || pin->type == ${user_ringbuf}) {
		__u32 wanted = max_entries;

		for (max_entries = sysconf(_SC_PAGESIZE); max_entries < wanted && max_entries < 1u << 31; max_entries *= 2)
			;
	}
	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (__u64)(unsigned long)&info;
	if (skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, offsetofend(union bpf_attr, info)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	/* maps of devices are read-only for programs, whatever was asked for */
	flags = pin->type == ${devmap} || pin->type == ${devmap_hash} ? 0x80 : 0;
	if (info.type == pin->type && info.key_size == pin->key_size && info.value_size == pin->value_size &&
		info.max_entries == max_entries && (info.map_flags | flags) == (pin->map_flags | flags) &&
		(info.map_extra == pin->map_extra || (pin->type == ${arena} && !pin->map_extra)))
		return fd;
	close(fd);
	return -EINVAL;
}

/* takes the maps that are pinned already, and notes which are not */
static inline int bpfas_skel_open_pins(void *skel, const struct bpfas_skel_pin *pins, size_t count,
					unsigned char *is_new, const char **failure)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct bpf_map_desc *desc = bpfas_skel_pin_desc(skel, &pins[i]);
		int fd;

		if (desc->map_fd > 0)
			continue;
		fd = bpfas_skel_open_pin(&pins[i], desc->max_entries ? desc->max_entries : pins[i].max_entries);
		if (fd < 0) {
			*failure = pins[i].failure;
			return fd;
		}
		desc->map_fd = fd;
		is_new[i] = !fd;
	}
	return 0;
}

static inline int bpfas_skel_make_pin(const char *path, int fd)
{
	const char *parts[2] = {}, *at;
	char directory[4096];
	union bpf_attr attr;
	int i;

	/* the directories that it lies in, two at most */
	for (at = path + 1; *at; at++)
		if (*at == '/') {
			parts[0] = parts[1];
			parts[1] = at;
		}
	for (i = 0; i < 2; i++)
		if (parts[i] && (size_t)(parts[i] - path) < sizeof(directory)) {
			memcpy(directory, path, parts[i] - path);
			directory[parts[i] - path] = 0;
			(void)mkdir(directory, 0700);
		}
	memset(&attr, 0, sizeof(attr));
	attr.pathname = (__u64)(unsigned long)path;
	attr.bpf_fd = fd;
	return skel_sys_bpf(BPF_OBJ_PIN, &attr, offsetofend(union bpf_attr, file_flags)) < 0 ? -errno : 0;
}

/* pins the maps that are new, all or none of them */
static inline int bpfas_skel_make_pins(void *skel, const struct bpfas_skel_pin *pins, size_t count,
					unsigned char *is_new, const char **failure)
{
	size_t i;
	int err;

	for (i = 0; i < count; i++) {
		if (!is_new[i])
			continue;
		err = bpfas_skel_make_pin(pins[i].path, bpfas_skel_pin_desc(skel, &pins[i])->map_fd);
		if (err) {
			*failure = pins[i].failure;
			while (i--)
				if (is_new[i])
					unlink(pins[i].path);
			return err;
		}
	}
	memset(is_new, 0, count);
	return 0;
}
#endif

"""

_PIN_HELPERS = """\
static const struct bpfas_skel_pin ${X}__pins[] = {
${rows}};

"""

_PIN_CALL = """\
	err = bpfas_skel_${action}_pins(skel, ${X}__pins, ${count}, skel->runner.is_new_pin, &skel->runner.failure);
	if (err)
		return err;
"""


def cpus_part(skeleton: Skeleton) -> Part | None:
    """What gives maps with an entry for each CPU their number of entries."""
    specs = [
        spec
        for spec in skeleton.specs()
        if spec.map_type == MapType.PERF_EVENT_ARRAY and not spec.max_entries and spec.autocreate
    ]
    if not specs:
        return None
    statements = (
        f"\tskel->maps.{skeleton.maps[spec.name]}.max_entries = bpfas_skel_possible_cpus();\n" for spec in specs
    )
    return Part(includes=("stdio.h",), shared=_CPUS, opened="".join(statements))


def targets_part(skeleton: Skeleton) -> Part | None:
    """For each program that replaces a function, a function to say which."""
    functions = []
    for entry in skeleton.program.context.programs:
        name = entry.spec.name
        facts = [skeleton.fact(kind, name) for kind in (FactKind.TARGET, FactKind.TARGET_TYPE)]
        if None in facts:
            continue
        functions.append(
            skeleton.fill(
                _SET_TARGET,
                program=commented(name),
                shown=commented(entry.spec.attach_target),
                function=skeleton.program_functions[name],
                target=quoted(entry.spec.attach_target),
                fd_fact=facts[0],
                type_fact=facts[1],
            )
        )
    if not functions:
        return None
    return Part(
        includes=("fcntl.h", "stdlib.h", "string.h", "unistd.h"),
        shared=READ_FILE + READ_BTF + FUNCTION_OF_PROGRAM,
        functions="".join(functions),
        needs="the functions of programs are found by descriptors",
    )


def pins_part(skeleton: Skeleton) -> Part | None:
    """What takes pinned maps over and pins new ones."""
    rows = [
        _pin_row(skeleton, spec, path)
        for spec in skeleton.specs()
        if spec.autocreate and (path := map_pin_path(spec, NO_OPTIONS))
    ]
    if not rows:
        return None
    kinds = (MapType.RINGBUF, MapType.USER_RINGBUF, MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.ARENA)
    return Part(
        includes=("string.h", "sys/stat.h", "unistd.h"),
        shared=skeleton.fill(_PINS, **{kind.name.lower(): int(kind) for kind in kinds}),
        helpers=skeleton.fill(_PIN_HELPERS, rows="".join(rows)),
        state=f"\t\tunsigned char is_new_pin[{len(rows)}];\n",
        prepared=skeleton.fill(_PIN_CALL, action="open", count=len(rows)),
        loaded=skeleton.fill(_PIN_CALL, action="make", count=len(rows)),
        needs="maps are pinned in a file system",
    )


def _pin_row(skeleton: Skeleton, spec: MapSpec, path: str) -> str:
    failure = (
        f"cannot share map {spec.name}: what is pinned at {path} is no such map, or it cannot be pinned there"
    )
    place = f"offsetof(struct {skeleton.name}, maps.{skeleton.maps[spec.name]})"
    numbers = (spec.map_type, spec.key_size, spec.value_size, spec.max_entries, spec.map_flags, spec.map_extra)
    texts = ", ".join(f"{int(number):#x}" for number in numbers)
    return f"\t{{ {quoted(os.fsencode(path))}, {quoted(failure)},\n\t  {place}, {texts} }},\n"
