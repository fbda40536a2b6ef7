/*
 * Loads by a header's functions, says the descriptors of maps and programs, destroys them when it is sent a line.
 * What is said ends with `.`; see processes.py. STRUCT, NAME, FAILED_STEP, MAPS, PROGRAMS and TARGETS come from
 * executables.py. The variable TARGET is the descriptor of the program whose function another replaces.
 *
 * With an argument there is a log of that many bytes, which is said where loading fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As in bpf_helpers.h, which is for BPF. */
enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

#include "loader.h"

static void wait_for_a_line(void)
{
	int character;

	printf(".\n");
	fflush(stdout);
	while ((character = getchar()) != '\n' && character != EOF)
		;
}

int main(int count, char **arguments)
{
	STRUCT *object = NAME(open)();
	char *log = NULL;
	int error, target;

	if (!object) {
		printf("error 0 open\n");
		wait_for_a_line();
		return 1;
	}
	if (count > 1) {
		object->ctx.log_level = 1;
		object->ctx.log_size = atoi(arguments[1]);
		log = calloc(1, object->ctx.log_size);
		object->ctx.log_buf = (long)log;
	}
	target = getenv("TARGET") ? atoi(getenv("TARGET")) : -1;
	if (target >= 0) {
#define TARGET(name) NAME(name##__set_target)(object, target, NULL);
		TARGETS
	}
	error = NAME(load)(object);
	if (target >= 0)
		close(target);
	if (error) {
		printf("error %d %s\n", error, FAILED_STEP);
		for (char *line = log ? strtok(log, "\n") : NULL; line; line = strtok(NULL, "\n"))
			printf("log %s\n", line);
	} else {
#define MAP(name) printf("map " #name " %d\n", object->maps.name.map_fd);
#define PROGRAM(name) printf("program " #name " %d\n", object->progs.name.prog_fd);
		MAPS
		PROGRAMS
	}
	wait_for_a_line();
	NAME(destroy)(object);
	wait_for_a_line();
	return 0;
}
