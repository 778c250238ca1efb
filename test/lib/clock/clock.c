/*
 * clock.c: a clock that a test can set, for processes that preload this library.
 *
 * Adds a number of seconds to the time of day. The file named by CLOCK_DIFFERENCE holds it as eight
 * bytes in the machine's byte order. The file is mapped, so that all processes see a change at
 * once. Clocks that cannot be set (CLOCK_MONOTONIC) are left alone. PostgreSQL reads the time of
 * day by gettimeofday().
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static int (*real_gettimeofday)(struct timeval *, void *);
static const volatile int64_t *difference;

__attribute__((constructor)) static void
map_difference(void)
{
	const char *path = getenv("CLOCK_DIFFERENCE");
	int file = path != NULL ? open(path, O_RDONLY) : -1;
	void *map = file >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;

	real_gettimeofday = dlsym(RTLD_NEXT, "gettimeofday");
	if (file >= 0)
		close(file);
	if (map != MAP_FAILED)
		difference = map;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	int result = real_gettimeofday(now, zone);

	if (difference != NULL)
		now->tv_sec += *difference;
	return result;
}
