/*
 * Lets libbpf relocate a BPF object, against the types in a file if one is given, and prints each program's
 * instructions as they are then: `NAME HEX`. Whether the verifier takes them does not matter.
 *
 *     libbpf_core OBJECT [BTF]
 *
 * Where libbpf gives up before that, prints `error`, with what it says on standard error.
 * With a third argument, loads the object that many times and prints the seconds on a processor of each, one a line.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int is_relocated = 1;

static int note(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (strstr(format, "failed to perform CO-RE relocations"))
		is_relocated = 0;
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, arguments);
}

static struct bpf_object *load(const char *path, const char *types)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = types);
	struct bpf_object *object = bpf_object__open_file(path, &options);

	if (!object) {
		printf("error\n");
		exit(0);
	}
	bpf_object__load(object);
	return object;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
	const char *types = count > 2 && *arguments[2] ? arguments[2] : NULL;
	struct bpf_program *program;
	struct bpf_object *object;

	libbpf_set_print(note);
	if (count > 3) {
		for (int rounds = atoi(arguments[3]); rounds; rounds--) {
			double start = seconds();

			object = load(arguments[1], types);
			bpf_object__close(object);
			printf("%.9f\n", seconds() - start);
		}
		return 0;
	}
	object = load(arguments[1], types);
	if (!is_relocated) {
		printf("error\n");
		return 0;
	}
	bpf_object__for_each_program(program, object) {
		const unsigned char *bytes = (const void *)bpf_program__insns(program);
		size_t size = bpf_program__insn_cnt(program) * sizeof(struct bpf_insn);

		printf("%s ", bpf_program__name(program));
		for (size_t at = 0; at < size; at++)
			printf("%02x", bytes[at]);
		printf("\n");
	}
	bpf_object__close(object);
	return 0;
}
