// What the machine gives without any Go: adding up a mapped file, and reading
// cold pages with as many threads as asked for. Prints nanoseconds.
//
//	reference sum FILE
//	reference random FILE READS THREADS SEED

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { page = 4096 };

static int fd;
static long pages, reads, next_read;
static uint64_t seed;

static void check(int ok, const char *what) {
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// sum_words adds in four chains, as the Go side does.
static uint64_t sum_words(const uint64_t *w, size_t n) {
	uint64_t a = 0, b = 0, c = 0, d = 0;
	for (size_t i = 0; i + 4 <= n; i += 4) {
		a += w[i];
		b += w[i + 1];
		c += w[i + 2];
		d += w[i + 3];
	}
	return a + b + c + d;
}

static void sum(size_t size) {
	uint64_t *m = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	check(m != MAP_FAILED, "mmap");
	volatile uint64_t sink = sum_words(m, size / 8);
	long long begin = now();
	sink += sum_words(m, size / 8);
	printf("%lld\n", now() - begin);
}

// mix is splitmix64: any index gives a random number.
static uint64_t mix(uint64_t z) {
	z = (z + seed) * 0x9E3779B97F4A7C15u;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static void *reader(void *unused) {
	char buf[page];
	long i;
	(void)unused;
	while ((i = __atomic_fetch_add(&next_read, 1, __ATOMIC_RELAXED)) < reads)
		check(pread(fd, buf, page, (off_t)(mix(i + 1) % pages) * page) == page, "pread");
	return NULL;
}

static void random_reads(int threads) {
	pthread_t t[threads];
	long long begin = now();
	for (int i = 0; i < threads; i++)
		check(pthread_create(&t[i], NULL, reader, NULL) == 0, "pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	printf("%lld\n", now() - begin);
}

int main(int argc, char **argv) {
	struct stat st;
	check(argc >= 3, "usage");
	fd = open(argv[2], O_RDONLY);
	check(fd >= 0 && fstat(fd, &st) == 0, argv[2]);
	if (strcmp(argv[1], "sum") == 0) {
		sum(st.st_size);
		return 0;
	}
	check(argc == 6, "usage");
	pages = st.st_size / page;
	reads = atol(argv[3]);
	seed = strtoull(argv[5], NULL, 10);
	random_reads(atoi(argv[4]));
	return 0;
}
