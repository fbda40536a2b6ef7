"""C text that reads types (BTF): of the running kernel and its modules, or of a loaded program.

Source: Documentation/bpf/btf.rst of Linux.
"""

READ_BTF = """\
#ifndef BPFAS_SKEL_READ_BTF
#define BPFAS_SKEL_READ_BTF
enum {
	BPFAS_SKEL_BTF_INT = 1,
	BPFAS_SKEL_BTF_PTR = 2,
	BPFAS_SKEL_BTF_ARRAY = 3,
	BPFAS_SKEL_BTF_STRUCT = 4,
	BPFAS_SKEL_BTF_UNION = 5,
	BPFAS_SKEL_BTF_ENUM = 6,
	BPFAS_SKEL_BTF_TYPEDEF = 8,
	BPFAS_SKEL_BTF_CONST = 10,
	BPFAS_SKEL_BTF_RESTRICT = 11,
	BPFAS_SKEL_BTF_FUNC = 12,
	BPFAS_SKEL_BTF_FLOAT = 16,
	BPFAS_SKEL_BTF_TYPE_TAG = 18,
	BPFAS_SKEL_BTF_ENUM64 = 19,
};

/* types, some of which may be those of a base that they go on from */
struct bpfas_skel_btf {
	struct bpfas_skel_bytes bytes;
	const struct bpfas_skel_btf *base;
	const char *strings;
	__u32 strings_size;
	__u32 first_string;
	__u32 first_id;
	__u32 end_id;
	const __u32 **types;
};

static inline __u32 bpfas_skel_btf_kind(const __u32 *type)
{
	return type[1] >> 24 & 0x1f;
}

static inline __u32 bpfas_skel_btf_length(const __u32 *type)
{
	return type[1] & 0xffff;
}

/* NULL for void (0), and for what is no type */
static inline const __u32 *bpfas_skel_btf_type(const struct bpfas_skel_btf *btf, __u32 id)
{
	while (id < btf->first_id && btf->base)
		btf = btf->base;
	return id && id < btf->end_id ? btf->types[id - btf->first_id] : NULL;
}

static inline const char *bpfas_skel_btf_name(const struct bpfas_skel_btf *btf, __u32 offset)
{
	while (offset < btf->first_string && btf->base)
		btf = btf->base;
	offset -= btf->first_string;
	return offset < btf->strings_size ? btf->strings + offset : "";
}

static inline void bpfas_skel_btf_close(struct bpfas_skel_btf *btf)
{
	free(btf->types);
	free(btf->bytes.data);
	memset(btf, 0, sizeof(*btf));
}

/* makes types of the bytes, which are given up to it; -1 where they are damaged */
static inline int bpfas_skel_btf_open(struct bpfas_skel_btf *btf, struct bpfas_skel_bytes bytes,
					const struct bpfas_skel_btf *base)
{
	static const unsigned char fixed_words[32] = { 3, 4, 3, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 4, 3, 3 };
	static const unsigned char entry_words[32] = { 0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3 };
	const __u32 *header = (const __u32 *)bytes.data, *at, *end;
	size_t room;

	memset(btf, 0, sizeof(*btf));
	btf->bytes = bytes;
	btf->base = base;
	btf->first_id = base ? base->end_id : 1;
	btf->first_string = base ? base->first_string + base->strings_size : 0;
	btf->end_id = btf->first_id;
	/* magic and version, then the sizes of the header, and places and sizes of types and strings */
	if (bytes.size < 24 || (header[0] & 0xffff) != 0xeb9f || header[1] % 4 || header[2] % 4 ||
		(size_t)header[1] + header[2] + header[3] > bytes.size ||
		(size_t)header[1] + header[4] + header[5] > bytes.size || !header[5] ||
		bytes.data[header[1] + header[4] + header[5] - 1])
		goto damaged;
	btf->strings = (const char *)bytes.data + header[1] + header[4];
	btf->strings_size = header[5];
	at = (const __u32 *)(bytes.data + header[1] + header[2]);
	end = at + header[3] / 4;
	room = header[3] / 12 + 1;
	btf->types = (const __u32 **)calloc(room, sizeof(*btf->types));
	if (!btf->types)
		goto damaged;
	while (end - at >= 3) {
		__u32 kind = bpfas_skel_btf_kind(at);
		size_t words = fixed_words[kind] + (size_t)entry_words[kind] * bpfas_skel_btf_length(at);

		if (!fixed_words[kind] || (size_t)(end - at) < words)
			goto damaged;
		btf->types[btf->end_id++ - btf->first_id] = at;
		at += words;
	}
	return 0;
damaged:
	bpfas_skel_btf_close(btf);
	return -1;
}

/* the first type of that kind and name, not of the base; 0 for none */
static inline __u32 bpfas_skel_btf_find(const struct bpfas_skel_btf *btf, __u32 kind, const char *name)
{
	__u32 id;

	for (id = btf->first_id; id < btf->end_id; id++) {
		const __u32 *type = btf->types[id - btf->first_id];

		if (bpfas_skel_btf_kind(type) == kind && !strcmp(bpfas_skel_btf_name(btf, type[0]), name))
			return id;
	}
	return 0;
}

/* a type without const, volatile, restrict, tags and the names that typedefs give it */
static inline const __u32 *bpfas_skel_btf_plain(const struct bpfas_skel_btf *btf, __u32 id)
{
	const __u32 *type = bpfas_skel_btf_type(btf, id);
	int depth;

	for (depth = 0; type && depth < 64; depth++) {
		__u32 kind = bpfas_skel_btf_kind(type);

		if (kind != BPFAS_SKEL_BTF_TYPE_TAG && (kind < BPFAS_SKEL_BTF_TYPEDEF || kind > BPFAS_SKEL_BTF_RESTRICT))
			return type;
		type = bpfas_skel_btf_type(btf, type[2]);
	}
	return NULL;
}

/* the bytes that a value of a type takes, 0 for none */
static inline size_t bpfas_skel_btf_size(const struct bpfas_skel_btf *btf, __u32 id)
{
	size_t count = 1;
	int depth;

	for (depth = 0; depth < 64; depth++) {
		const __u32 *type = bpfas_skel_btf_plain(btf, id);

		if (!type)
			return 0;
		switch (bpfas_skel_btf_kind(type)) {
		case BPFAS_SKEL_BTF_PTR:
			return count * sizeof(void *);
		case BPFAS_SKEL_BTF_ARRAY:
			count *= type[5];
			id = type[3];
			break;
		case BPFAS_SKEL_BTF_INT:
		case BPFAS_SKEL_BTF_STRUCT:
		case BPFAS_SKEL_BTF_UNION:
		case BPFAS_SKEL_BTF_ENUM:
		case BPFAS_SKEL_BTF_FLOAT:
		case BPFAS_SKEL_BTF_ENUM64:
			return count * type[2];
		default:
			return 0;
		}
	}
	return 0;
}
#endif

"""
"""Behind READ_FILE of `bpfas.loader.gen.c.files`."""

FUNCTION_OF_PROGRAM = """\
#ifndef BPFAS_SKEL_FUNCTION_OF_PROGRAM
#define BPFAS_SKEL_FUNCTION_OF_PROGRAM
/* the type id of a function of a loaded program in the program's own BTF, or a negative errno */
static inline int bpfas_skel_function_of_program(int prog_fd, const char *function)
{
	struct bpfas_skel_bytes bytes = {};
	struct bpfas_skel_btf btf;
	struct bpf_prog_info program;
	struct bpf_btf_info info;
	union bpf_attr attr;
	int fd, err = -ENOMEM;

	memset(&program, 0, sizeof(program));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = prog_fd;
	attr.info.info_len = sizeof(program);
	attr.info.info = (__u64)(unsigned long)&program;
	if (skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, offsetofend(union bpf_attr, info)) < 0)
		return -errno;
	if (!program.btf_id)
		return -ENOENT;
	memset(&attr, 0, sizeof(attr));
	attr.btf_id = program.btf_id;
	fd = skel_sys_bpf(BPF_BTF_GET_FD_BY_ID, &attr, offsetofend(union bpf_attr, open_flags));
	if (fd < 0)
		return -errno;
	/* first for its size */
	do {
		if (bytes.size > bytes.room) {
			unsigned char *larger = (unsigned char *)realloc(bytes.data, bytes.size);

			if (!larger)
				goto out;
			bytes.data = larger;
			bytes.room = bytes.size;
		}
		memset(&info, 0, sizeof(info));
		info.btf = (__u64)(unsigned long)bytes.data;
		info.btf_size = bytes.room;
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = fd;
		attr.info.info_len = sizeof(info);
		attr.info.info = (__u64)(unsigned long)&info;
		if (skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, offsetofend(union bpf_attr, info)) < 0) {
			err = -errno;
			goto out;
		}
		bytes.size = info.btf_size;
	} while (bytes.size > bytes.room);
	close(fd);
	if (bpfas_skel_btf_open(&btf, bytes, NULL))
		return -EINVAL;
	err = bpfas_skel_btf_find(&btf, BPFAS_SKEL_BTF_FUNC, function);
	bpfas_skel_btf_close(&btf);
	return err ? err : -ENOENT;
out:
	close(fd);
	free(bytes.data);
	return err;
}
#endif

"""
"""Behind READ_BTF."""
