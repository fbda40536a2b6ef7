"""C text that reads files whole: as they are, or unpacked by zlib."""

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
/* as bpfas_skel_read_file, and unpacked if it is packed by gzip */
static inline int bpfas_skel_read_packed_file(const char *path, struct bpfas_skel_bytes *bytes)
{
	unsigned char buffer[4096];
	gzFile file = gzopen(path, "rbe");
	int size, failed = 0;

	memset(bytes, 0, sizeof(*bytes));
	if (!file)
		return -1;
	while ((size = gzread(file, buffer, sizeof(buffer))) > 0 && !failed)
		failed = bpfas_skel_append(bytes, buffer, size);
	/* what is cut off is an error of closing alone */
	failed |= gzclose(file) != Z_OK;
	if (!failed && size == 0)
		return 0;
	free(bytes->data);
	bytes->data = NULL;
	return -1;
}
#endif

"""
"""Packed files, behind READ_FILE: needs <zlib.h>, and -lz when linked."""
