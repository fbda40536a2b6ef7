"""C text that reads a file whole, unpacked if it is gzip's: /proc/config.gz without the need of a library.

Source: RFC 1951 and RFC 1952.
"""

READ_FILE = """\
#ifndef BPFAS_SKEL_READ_FILE
#define BPFAS_SKEL_READ_FILE
struct bpfas_skel_bytes {
	unsigned char *data;
	size_t size;
	size_t room;
};

static inline int bpfas_skel_append(struct bpfas_skel_bytes *bytes, const void *data, size_t size)
{
	if (!size)
		return 0;
	if (bytes->room - bytes->size < size) {
		size_t room = 2 * bytes->room + size + 4096;
		unsigned char *larger = (unsigned char *)realloc(bytes->data, room);

		if (!larger)
			return -1;
		bytes->data = larger;
		bytes->room = room;
	}
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
	return 0;
}

/* all of a file, to be freed by the caller; -1 where it cannot be read */
static inline int bpfas_skel_read_file(const char *path, struct bpfas_skel_bytes *bytes)
{
	unsigned char buffer[4096];
	ssize_t size = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(bytes, 0, sizeof(*bytes));
	if (fd < 0)
		return -1;
	while ((size = read(fd, buffer, sizeof(buffer))) > 0)
		if (bpfas_skel_append(bytes, buffer, size)) {
			size = -1;
			break;
		}
	close(fd);
	if (!size)
		return 0;
	free(bytes->data);
	bytes->data = NULL;
	return -1;
}
#endif

"""
"""Files: needs <fcntl.h>, <string.h>, <stdlib.h>, <unistd.h>."""

READ_PACKED_FILE = """\
#ifndef BPFAS_SKEL_READ_PACKED_FILE
#define BPFAS_SKEL_READ_PACKED_FILE
struct bpfas_skel_unpacking {
	const unsigned char *at;
	const unsigned char *end;
	unsigned int bits;
	int bit_count;
	int failed;
	struct bpfas_skel_bytes out;
};

/* a prefix code: how many codes there are of each length, and what they stand for, in order */
struct bpfas_skel_code {
	unsigned short counts[16];
	unsigned short symbols[288];
};

static inline unsigned int bpfas_skel_bits(struct bpfas_skel_unpacking *from, int count)
{
	unsigned int bits;

	while (from->bit_count < count) {
		if (from->at == from->end) {
			from->failed = 1;
			return 0;
		}
		from->bits |= (unsigned int)*from->at++ << from->bit_count;
		from->bit_count += 8;
	}
	bits = from->bits & ((1u << count) - 1);
	from->bits >>= count;
	from->bit_count -= count;
	return bits;
}

static inline void bpfas_skel_make_code(struct bpfas_skel_code *code, const unsigned char *lengths, int count)
{
	unsigned short places[17] = {};
	int i;

	memset(code, 0, sizeof(*code));
	for (i = 0; i < count; i++)
		code->counts[lengths[i]]++;
	code->counts[0] = 0;
	for (i = 1; i < 16; i++)
		places[i + 1] = places[i] + code->counts[i];
	for (i = 0; i < count; i++)
		if (lengths[i])
			code->symbols[places[lengths[i]]++] = i;
}

static inline unsigned int bpfas_skel_symbol(struct bpfas_skel_unpacking *from, const struct bpfas_skel_code *code)
{
	unsigned int value = 0, first = 0, place = 0;
	int length;

	for (length = 1; length < 16 && !from->failed; length++) {
		value = value << 1 | bpfas_skel_bits(from, 1);
		if (value - first < code->counts[length])
			return code->symbols[place + value - first];
		place += code->counts[length];
		first = (first + code->counts[length]) << 1;
	}
	from->failed = 1;
	return 256;
}

static inline void bpfas_skel_unpack_block(struct bpfas_skel_unpacking *from,
					const struct bpfas_skel_code *lengths,
						const struct bpfas_skel_code *distances)
{
	while (!from->failed) {
		unsigned int symbol = bpfas_skel_symbol(from, lengths), length, distance, extra;
		unsigned char byte = symbol;

		if (symbol == 256 || from->failed)
			return;
		if (symbol < 256) {
			from->failed |= bpfas_skel_append(&from->out, &byte, 1) != 0;
			continue;
		}
		symbol -= 257;
		extra = symbol < 8 || symbol == 28 ? 0 : symbol / 4 - 1;
		length = symbol < 8 ? symbol + 3 : symbol == 28 ? 258 : ((4 + symbol % 4) << extra) + 3;
		length += bpfas_skel_bits(from, extra);
		symbol = bpfas_skel_symbol(from, distances);
		extra = symbol < 4 ? 0 : symbol / 2 - 1;
		if (symbol > 29 || from->failed) {
			from->failed = 1;
			return;
		}
		distance = symbol < 4 ? symbol + 1 : ((2 + symbol % 2) << extra) + 1;
		distance += bpfas_skel_bits(from, extra);
		if (distance > from->out.size)
			from->failed = 1;
		for (; length && !from->failed; length--) {
			byte = from->out.data[from->out.size - distance];
			from->failed |= bpfas_skel_append(&from->out, &byte, 1) != 0;
		}
	}
}

static inline void bpfas_skel_unpack_stored(struct bpfas_skel_unpacking *from)
{
	unsigned int size;

	from->bits = 0;
	from->bit_count = 0;
	if (from->end - from->at < 4) {
		from->failed = 1;
		return;
	}
	size = from->at[0] | from->at[1] << 8;
	from->at += 4;
	if ((size_t)(from->end - from->at) < size || bpfas_skel_append(&from->out, from->at, size)) {
		from->failed = 1;
		return;
	}
	from->at += size;
}

/* the lengths of the two codes that a block begins with, 0 if they are no lengths */
static inline int bpfas_skel_read_lengths(struct bpfas_skel_unpacking *from, unsigned char *lengths, int *count)
{
	static const unsigned char order[19] = {
		16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15
	};
	int literals = bpfas_skel_bits(from, 5) + 257, distances = bpfas_skel_bits(from, 5) + 1;
	int given = bpfas_skel_bits(from, 4) + 4, i;
	struct bpfas_skel_code code;

	memset(lengths, 0, 320);
	for (i = 0; i < given; i++)
		lengths[order[i]] = bpfas_skel_bits(from, 3);
	bpfas_skel_make_code(&code, lengths, 19);
	memset(lengths, 0, 320);
	for (i = 0; i < literals + distances && !from->failed;) {
		unsigned int symbol = bpfas_skel_symbol(from, &code), length = 0, times = 1;

		if (symbol < 16) {
			length = symbol;
		} else if (symbol == 16 && i) {
			length = lengths[i - 1];
			times = 3 + bpfas_skel_bits(from, 2);
		} else if (symbol == 17) {
			times = 3 + bpfas_skel_bits(from, 3);
		} else if (symbol == 18) {
			times = 11 + bpfas_skel_bits(from, 7);
		} else {
			from->failed = 1;
		}
		if (i + (int)times > literals + distances)
			from->failed = 1;
		for (; times && !from->failed; times--)
			lengths[i++] = length;
	}
	*count = distances;
	return literals > 286 ? 0 : literals;
}

static inline void bpfas_skel_unpack(struct bpfas_skel_unpacking *from)
{
	struct bpfas_skel_code lengths, distances;
	unsigned char widths[320];
	unsigned int is_last = 0;

	while (!is_last && !from->failed) {
		int literals = 288, count = 30;
		unsigned int kind;

		is_last = bpfas_skel_bits(from, 1);
		kind = bpfas_skel_bits(from, 2);
		if (!kind) {
			bpfas_skel_unpack_stored(from);
			continue;
		}
		if (kind == 1) {
			memset(widths, 8, 144);
			memset(widths + 144, 9, 112);
			memset(widths + 256, 7, 24);
			memset(widths + 280, 8, 8);
			memset(widths + 288, 5, 30);
		} else {
			literals = kind == 2 ? bpfas_skel_read_lengths(from, widths, &count) : 0;
			from->failed |= !literals;
		}
		if (from->failed)
			return;
		bpfas_skel_make_code(&lengths, widths, literals);
		bpfas_skel_make_code(&distances, widths + literals, count);
		bpfas_skel_unpack_block(from, &lengths, &distances);
	}
}

/* as bpfas_skel_read_file, and unpacked if it is packed by gzip */
static inline int bpfas_skel_read_packed_file(const char *path, struct bpfas_skel_bytes *bytes)
{
	struct bpfas_skel_unpacking from = {};
	unsigned char flags;
	int i;

	if (bpfas_skel_read_file(path, bytes))
		return -1;
	if (bytes->size < 18 || bytes->data[0] != 0x1f || bytes->data[1] != 0x8b)
		return 0;
	flags = bytes->data[3];
	from.at = bytes->data + 10;
	from.end = bytes->data + bytes->size;
	if (flags & 4) {
		size_t size = from.at[0] | from.at[1] << 8;

		from.failed = size + 2 > (size_t)(from.end - from.at);
		from.at += from.failed ? 0 : size + 2;
	}
	for (i = 0; i < !!(flags & 8) + !!(flags & 16); i++) {
		while (from.at < from.end && *from.at)
			from.at++;
		from.at += from.at < from.end;
	}
	if (flags & 2 && from.end - from.at > 2)
		from.at += 2;
	bpfas_skel_unpack(&from);
	free(bytes->data);
	*bytes = from.out;
	if (!from.failed)
		return 0;
	free(bytes->data);
	bytes->data = NULL;
	return -1;
}
#endif

"""
"""Packed files, behind READ_FILE."""
