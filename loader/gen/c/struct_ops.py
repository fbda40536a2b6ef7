"""Structs of operations in a C header: laid out as the running kernel has them, registered by __MAP__attach.

The rules are those of `bpfas.loader.loading.struct_ops`: members are matched by name; what this kernel does not
have must be zero, and programs for such members are not loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.gen.c.btf import READ_BTF
from bpfas.loader.gen.c.data import constant, quoted
from bpfas.loader.gen.c.files import READ_FILE
from bpfas.loader.gen.c.skeleton import Part
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.kinds import AttachType

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf, Member
    from bpfas.loader.gen.c.skeleton import Skeleton
    from bpfas.loader.spec import MapSpec, StructOps

_SHARED = """\
#ifndef BPFAS_SKEL_STRUCT_OPS
#define BPFAS_SKEL_STRUCT_OPS
/*
 * A member of an instance: its bytes there, or the program that the kernel calls by it. Of the program, the places
 * of its descriptor and (0 for none) of the fact that is the member's number, both in the skeleton.
 */
struct bpfas_skel_operation {
	const char *name;
	const char *failure;
	size_t offset;
	size_t size;
	int is_program;
	size_t prog_fd;
	size_t member_index;
};

/* a kernel's value of a map; places are those of the members' descriptors, -1 for none */
struct bpfas_skel_operations {
	unsigned char *value;
	size_t size;
	long *places;
};

static inline void bpfas_skel_free_operations(struct bpfas_skel_operations *operations)
{
	free(operations->value);
	free(operations->places);
	memset(operations, 0, sizeof(*operations));
}

static inline int bpfas_skel_is_zero(const unsigned char *bytes, size_t size)
{
	while (size && !bytes[size - 1])
		size--;
	return !size;
}

/* finds the struct of operations and the one around it; 1 if these types have them */
static inline int bpfas_skel_find_operations(const struct bpfas_skel_btf *btf, const char *name,
					const __u32 **value,
						const __u32 **operations, size_t *place)
{
	char value_name[256];
	__u32 i;

	snprintf(value_name, sizeof(value_name), "bpf_struct_ops_%s", name);
	*value = bpfas_skel_btf_type(btf, bpfas_skel_btf_find(btf, BPFAS_SKEL_BTF_STRUCT, value_name));
	for (i = 0; *value && i < bpfas_skel_btf_length(*value); i++) {
		const __u32 *member = *value + 3 + 3 * i, *type = bpfas_skel_btf_type(btf, member[1]);

		if (!type || bpfas_skel_btf_kind(type) != BPFAS_SKEL_BTF_STRUCT ||
			strcmp(bpfas_skel_btf_name(btf, type[0]), name))
			continue;
		*operations = type;
		*place = (type[1] >> 31 ? member[2] & 0xffffff : member[2]) / 8;
		return 1;
	}
	return 0;
}

static inline int bpfas_skel_fill_operations(const struct bpfas_skel_btf *btf, const __u32 *type, size_t place,
						const struct bpfas_skel_operation *members, size_t count,
						const unsigned char *contents, void *skel,
						struct bpfas_skel_operations *result, const char **failure)
{
	size_t i;
	__u32 j;

	for (i = 0; i < count; i++) {
		const struct bpfas_skel_operation *mine = &members[i];
		const unsigned char *bytes = contents + mine->offset;
		const __u32 *found = NULL;
		size_t at = place;

		for (j = 0; j < bpfas_skel_btf_length(type) && !found; j++)
			if (!strcmp(bpfas_skel_btf_name(btf, type[3 + 3 * j]), mine->name))
				found = type + 3 + 3 * j;
		*failure = mine->failure;
		if (!found) {
			if (!bpfas_skel_is_zero(bytes, mine->size))
				return -EOPNOTSUPP;
			/* this kernel would not call it, so it is not loaded */
			if (mine->is_program && !*(int *)((char *)skel + mine->prog_fd))
				*(int *)((char *)skel + mine->prog_fd) = -1;
			continue;
		}
		if (type[1] >> 31 && found[2] >> 24)
			return -EOPNOTSUPP;
		at += found[2] / 8;
		if (bpfas_skel_btf_size(btf, found[1]) != mine->size || at + mine->size > result->size)
			return -EINVAL;
		if (!mine->is_program) {
			memcpy(result->value + at, bytes, mine->size);
			continue;
		}
		result->places[i] = at;
		if (mine->member_index)
			*(__u64 *)((char *)skel + mine->member_index) = (found - type - 3) / 3;
	}
	*failure = NULL;
	return 0;
}

/* the types of a module, which go on from the kernel's; by the name of its file, which is opened next */
static inline int bpfas_skel_next_module(DIR *directory, const struct bpfas_skel_btf *kernel,
					struct bpfas_skel_btf *btf)
{
	struct bpfas_skel_bytes bytes;
	struct dirent *entry;
	char path[512];

	while (directory && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "vmlinux"))
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/btf/%s", entry->d_name);
		if (!bpfas_skel_read_file(path, &bytes) && !bpfas_skel_btf_open(btf, bytes, kernel))
			return 1;
	}
	return 0;
}

/* the value that the running kernel takes for an instance, without descriptors; 0 or a negative errno */
static inline int bpfas_skel_lay_out_operations(const char *name, const struct bpfas_skel_operation *members,
						size_t count, const void *contents, void *skel,
						struct bpfas_skel_operations *result, const char **failure)
{
	struct bpfas_skel_btf kernel = {}, module = {}, *btf = &kernel;
	const __u32 *value = NULL, *type = NULL;
	struct bpfas_skel_bytes bytes;
	DIR *directory = NULL;
	size_t place = 0, i;
	int found, err;

	if (bpfas_skel_read_file("/sys/kernel/btf/vmlinux", &bytes) || bpfas_skel_btf_open(&kernel, bytes, NULL))
		return -EOPNOTSUPP;
	found = bpfas_skel_find_operations(btf, name, &value, &type, &place);
	if (!found) {
		directory = opendir("/sys/kernel/btf");
		btf = &module;
	}
	while (!found && bpfas_skel_next_module(directory, &kernel, &module)) {
		found = bpfas_skel_find_operations(btf, name, &value, &type, &place);
		if (!found)
			bpfas_skel_btf_close(&module);
	}
	if (directory)
		closedir(directory);
	err = -EOPNOTSUPP;
	if (found) {
		bpfas_skel_free_operations(result);
		result->size = value[2];
		result->value = (unsigned char *)calloc(1, result->size + sizeof(long));
		result->places = (long *)calloc(count + 1, sizeof(long));
		for (i = 0; result->places && i < count; i++)
			result->places[i] = -1;
		err = -ENOMEM;
		if (result->value && result->places)
			err = bpfas_skel_fill_operations(btf, type, place, members, count,
								(const unsigned char *)contents, skel, result, failure);
	}
	bpfas_skel_btf_close(&module);
	bpfas_skel_btf_close(&kernel);
	return err;
}

/* gives a map its functions, and registers them by a link if it is for that; its descriptor, 0 for none */
static inline int bpfas_skel_register_operations(int map_fd,
					const struct bpfas_skel_operation *members, size_t count,
							void *skel, struct bpfas_skel_operations *operations, int is_link)
{
	int key = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if (operations->places[i] >= 0) {
			unsigned long fd = *(int *)((char *)skel + members[i].prog_fd);

			memcpy(operations->value + operations->places[i], &fd, sizeof(fd));
		}
	if (skel_map_update_elem(map_fd, &key, operations->value, 0) < 0 && !(is_link && errno == EBUSY))
		return -1;
	return is_link ? skel_link_create(map_fd, 0, (enum bpf_attach_type)${attach_type}) : 0;
}
#endif

"""

_HELPERS = """\
static const struct bpfas_skel_operation ${X}__${map}__members[] = {
${rows}	{ NULL, NULL, 0, 0, 0, 0, 0 },
};

"""

_PREPARED = """\
	{
${contents}
		skel->runner.failure = ${failure};
		err = bpfas_skel_lay_out_operations(${name}, ${X}__${map}__members, ${count}, &contents, skel,
							&skel->runner.${map}_operations, &skel->runner.failure);
		if (err)
			return err;
		skel->runner.failure = NULL;
${told}	}
"""

_TOLD = """\
		skel->loader.${fact} = skel->runner.${map}_operations.size;
"""

_FUNCTIONS = """\
/* registers the operations with the kernel */
static inline int
${X}__${map}__attach(struct $X *skel)
{
	int fd = bpfas_skel_register_operations(skel->maps.${member}.map_fd, ${X}__${map}__members, ${count}, skel,
						&skel->runner.${map}_operations, ${is_link});

	if (fd > 0)
		skel->links.${map}_fd = fd;
${noted}	return fd;
}

"""

_NOTED = """\
	if (!fd)
		skel->runner.${map}_is_registered = 1;
"""

_DETACHED = """\
	if (skel->runner.${map}_is_registered) {
		int key = 0;

		skel_map_delete_elem(skel->maps.${member}.map_fd, &key);
		skel->runner.${map}_is_registered = 0;
	}
"""


def struct_ops_part(skeleton: Skeleton) -> Part | None:
    """What lays out and registers the maps of struct_ops."""
    types = skeleton.program.image.types
    parts = [
        _of_map(skeleton, spec, spec.struct_ops, types)
        for spec in skeleton.specs()
        if spec.struct_ops is not None and spec.autocreate and types is not None
    ]
    if not parts:
        return None
    return Part(
        includes=("dirent.h", "fcntl.h", "stdio.h", "stdlib.h", "string.h", "unistd.h"),
        shared=READ_FILE + READ_BTF + skeleton.fill(_SHARED, attach_type=int(AttachType.STRUCT_OPS)),
        helpers="".join(part.helpers for part in parts),
        state="".join(part.state for part in parts),
        prepared="".join(part.prepared for part in parts),
        detached="".join(part.detached for part in parts),
        destroyed="".join(part.destroyed for part in parts),
        functions="".join(part.functions for part in parts),
        needs="the kernel's types are read from files",
    )


def _of_map(skeleton: Skeleton, spec: MapSpec, operations: StructOps, types: Btf) -> Part:
    members = [member for member in types.members(operations.type_id) if member.name]
    name = stem_of(operations.type_name)
    rows = "".join(_row(skeleton, spec, operations, types, member) for member in members)
    values = {
        "map": skeleton.map_functions[spec.name],
        "member": skeleton.maps[spec.name],
        "count": len(members),
        "name": quoted(name),
        "rows": rows,
        "contents": constant("contents", spec.contents or bytes(spec.value_size), skeleton.program.byte_order, 2),
        "failure": quoted(
            f"cannot create map {spec.name}: the kernel's types (/sys/kernel/btf) have no operations {name}"
        ),
        "is_link": int(operations.is_link),
    }
    state = f"\t\tstruct bpfas_skel_operations {values['map']}_operations;\n"
    if not operations.is_link:
        state += f"\t\tint {values['map']}_is_registered;\n"
    fact = skeleton.fact(FactKind.VALUE_SIZE, spec.name)
    told = skeleton.fill(_TOLD, fact=fact, **values) if fact else ""
    noted = "" if operations.is_link else skeleton.fill(_NOTED, **values)
    return Part(
        helpers=skeleton.fill(_HELPERS, **values),
        state=state,
        prepared=skeleton.fill(_PREPARED, told=told, **values),
        detached="" if operations.is_link else skeleton.fill(_DETACHED, **values),
        destroyed=f"\tbpfas_skel_free_operations(&skel->runner.{values['map']}_operations);\n",
        functions=skeleton.fill(_FUNCTIONS, noted=noted, **values),
    )


def _row(skeleton: Skeleton, spec: MapSpec, operations: StructOps, types: Btf, member: Member) -> str:
    # An object that is at fault may name a program that it does not have.
    program = operations.programs.get(member.name)
    program = program if program in skeleton.programs else None
    is_pointer = types.kind(types.without_qualifiers(member.type_id)) is Kind.PTR
    size = size_of(types, member.type_id) or 0
    failure = f"cannot fill map {spec.name}: member {member.name} is not what the kernel has"
    places = "0, 0, 0"
    if program is not None and is_pointer:
        fact = skeleton.fact(FactKind.MEMBER_INDEX, program)
        descriptor = f"offsetof(struct {skeleton.name}, progs.{skeleton.programs[program]}.prog_fd)"
        index = f"offsetof(struct {skeleton.name}, loader.{fact})" if fact else "0"
        places = f"1, {descriptor}, {index}"
    offset = member.bit_offset // 8
    return f"\t{{ {quoted(member.name)}, {quoted(failure)},\n\t  {offset}, {size}, {places} }},\n"
