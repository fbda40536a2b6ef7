/*
 * Opens a BPF object with libbpf and does with it what standard input says, one command a line:
 *
 *   kconfig LINE             before `load`: a line of kernel configuration that overrides the system's
 *   load                     give the object to the kernel
 *   run PROGRAM DATA CONTEXT run a program once by BPF_PROG_TEST_RUN; prints `run PROGRAM RETVAL`
 *   lookup MAP KEY           prints `lookup MAP VALUE`, or `lookup MAP -` where there is no such key
 *   register MAP             register a struct_ops map with the kernel, and take it back
 *
 * Bytes are in hexadecimal, with `-` for none. Whatever fails ends the run with a message on standard error,
 * preceded by what libbpf and the verifier say.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static char kconfig[4096];

static int warnings_only(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, arguments);
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static size_t from_hex(const char *text, unsigned char *bytes, size_t room)
{
	size_t count = 0;
	unsigned int byte;

	if (!strcmp(text, "-"))
		return 0;
	for (; count < room && sscanf(text, "%2x", &byte) == 1; text += 2)
		bytes[count++] = byte;
	return count;
}

static void run(struct bpf_object *object, const char *name, const char *data_hex, const char *context_hex)
{
	static unsigned char data[4096], context[4096];
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	LIBBPF_OPTS(bpf_test_run_opts, options);

	if (!program)
		fail("no program %s", name);
	options.data_size_in = from_hex(data_hex, data, sizeof(data));
	options.data_in = options.data_size_in ? data : NULL;
	options.ctx_size_in = from_hex(context_hex, context, sizeof(context));
	options.ctx_in = options.ctx_size_in ? context : NULL;
	if (bpf_prog_test_run_opts(bpf_program__fd(program), &options))
		fail("run %s", name);
	printf("run %s %u\n", name, options.retval);
}

static struct bpf_map *find_map(struct bpf_object *object, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	if (!map)
		fail("no map %s", name);
	return map;
}

static void lookup(struct bpf_object *object, const char *name, const char *key_hex)
{
	static unsigned char key[4096], value[65536];
	struct bpf_map *map = find_map(object, name);
	size_t size = bpf_map__value_size(map);

	from_hex(key_hex, key, sizeof(key));
	if (size > sizeof(value))
		fail("value of %s has %zu bytes", name, size);
	printf("lookup %s ", name);
	if (bpf_map_lookup_elem(bpf_map__fd(map), key, value)) {
		puts("-");
		return;
	}
	for (size_t i = 0; i < size; i++)
		printf("%02x", value[i]);
	puts("");
}

static void register_struct_ops(struct bpf_object *object, const char *name)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(find_map(object, name));

	if (!link)
		fail("register %s", name);
	bpf_link__destroy(link);
	printf("register %s\n", name);
}

int main(int argc, char **argv)
{
	char line[16384], word[4][4096];
	LIBBPF_OPTS(bpf_object_open_opts, options, .kconfig = kconfig);
	struct bpf_object *object = NULL;

	if (argc != 2) {
		fprintf(stderr, "usage: %s OBJECT\n", argv[0]);
		return 2;
	}
	libbpf_set_print(warnings_only);
	while (fgets(line, sizeof(line), stdin)) {
		int count = sscanf(line, "%4095s %4095s %4095s %4095s", word[0], word[1], word[2], word[3]);

		if (count == 2 && !strcmp(word[0], "kconfig")) {
			strncat(kconfig, word[1], sizeof(kconfig) - strlen(kconfig) - 2);
			strcat(kconfig, "\n");
		} else if (count == 1 && !strcmp(word[0], "load")) {
			object = bpf_object__open_file(argv[1], &options);
			if (!object)
				fail("open %s", argv[1]);
			if (bpf_object__load(object))
				fail("load %s", argv[1]);
			/* libbpf goes on without types where the kernel refuses them and no program needs them. */
			if (bpf_object__btf(object) && bpf_object__btf_fd(object) < 0)
				fail("types of %s", argv[1]);
		} else if (object && count == 4 && !strcmp(word[0], "run")) {
			run(object, word[1], word[2], word[3]);
		} else if (object && count == 3 && !strcmp(word[0], "lookup")) {
			lookup(object, word[1], word[2]);
		} else if (object && count == 2 && !strcmp(word[0], "register")) {
			register_struct_ops(object, word[1]);
		} else {
			fprintf(stderr, "not a command: %s", line);
			return 2;
		}
	}
	bpf_object__close(object);
	return 0;
}
