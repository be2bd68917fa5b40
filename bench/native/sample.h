/*
 * How every native yardstick measures and reports: the same way as bench/measure.ts does.
 *
 * A body runs a number of turns. It is warmed up, the number of turns that fills a quarter of the time is found, and
 * then each sample repeats the body until the time is full. One line of JSON per sample: {"ns":4.67}.
 * A machine that cannot run the yardstick gets {"absent":"reason"} and exit status 0.
 */
#ifndef NETMEM_BENCH_SAMPLE_H
#define NETMEM_BENCH_SAMPLE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef uintptr_t (*sample_body)(void *subject, uint64_t turns);

struct sample_plan {
	const char *mode;
	int samples;
	double min_ns;
};

static volatile uintptr_t sample_sink;

static inline double sample_now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static inline double sample_time(sample_body body, void *subject, uint64_t turns)
{
	double from = sample_now_ns();

	sample_sink += body(subject, turns);
	return sample_now_ns() - from;
}

static inline uint64_t sample_calibrate(sample_body body, void *subject, double want_ns)
{
	uint64_t turns = 1;

	for (;;) {
		double took = sample_time(body, subject, turns);

		if (took >= want_ns)
			return turns;
		turns = took < want_ns / 10 ? turns * 8 : (uint64_t)((double)turns * want_ns / took * 1.1) + 1;
	}
}

static inline void sample_run(const struct sample_plan *plan, sample_body body, void *subject, double ops_per_turn)
{
	uint64_t turns;

	sample_time(body, subject, sample_calibrate(body, subject, plan->min_ns));
	turns = sample_calibrate(body, subject, plan->min_ns / 4);
	for (int i = 0; i < plan->samples; i++) {
		double took = 0;
		uint64_t done = 0;

		while (took < plan->min_ns) {
			took += sample_time(body, subject, turns);
			done += turns;
		}
		printf("{\"ns\":%.4f}\n", took / ((double)done * ops_per_turn));
	}
}

static inline struct sample_plan sample_parse(int argc, char **argv)
{
	if (argc != 4 || atoi(argv[2]) < 1 || atof(argv[3]) <= 0) {
		fprintf(stderr, "usage: %s MODE SAMPLES MIN_MS\n", argv[0]);
		exit(2);
	}
	return (struct sample_plan){ .mode = argv[1], .samples = atoi(argv[2]), .min_ns = atof(argv[3]) * 1e6 };
}

static inline _Noreturn void sample_absent(const char *what, int error)
{
	printf("{\"absent\":\"%s: %s\"}\n", what, strerror(error));
	exit(0);
}

#endif
