/*
 * Loads an object by the header that was made of it, as many times as the argument says, and prints the seconds on a
 * processor of each, one a line. OPEN_AND_LOAD and DESTROY are its functions.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include HEADER

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
	for (int rounds = count > 1 ? atoi(arguments[1]) : 1; rounds; rounds--) {
		double start = seconds();
		STRUCT *object = OPEN_AND_LOAD();

		if (!object) {
			perror("loading");
			return 1;
		}
		DESTROY(object);
		printf("%.9f\n", seconds() - start);
	}
	return 0;
}
