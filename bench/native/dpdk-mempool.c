/*
 * DPDK rte_mempool as a yardstick: one lcore, 4 KiB elements, ordinary 4 KiB pages behind them.
 *
 * Modes: single    get + put of one object
 *        bulk64    get + put of 64 objects by one call each, per object
 *        burst64   1024 objects are held; 64 of them, picked by a precomputed shuffle, are put one by one and 64 are
 *                  taken in their place, per object
 *        nocache   single without the per-lcore cache: the shared ring alone
 */
#define _GNU_SOURCE
#include <sched.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include "sample.h"

#define ELEMENTS 2047
#define ELEMENT_BYTES 4096
#define CACHE_OBJECTS 256
#define BURST 64
#define HELD 1024

struct subject {
	struct rte_mempool *pool;
	void *held[HELD];
	uint16_t order[HELD];
};

static uintptr_t get_put(void *arg, uint64_t turns)
{
	struct rte_mempool *pool = ((struct subject *)arg)->pool;
	uintptr_t sum = 0;

	for (uint64_t i = 0; i < turns; i++) {
		void *object;

		if (rte_mempool_get(pool, &object) != 0)
			abort();
		sum += (uintptr_t)object;
		rte_mempool_put(pool, object);
	}
	return sum;
}

static uintptr_t get_put_bulk(void *arg, uint64_t turns)
{
	struct rte_mempool *pool = ((struct subject *)arg)->pool;
	void *objects[BURST];
	uintptr_t sum = 0;

	for (uint64_t i = 0; i < turns; i++) {
		if (rte_mempool_get_bulk(pool, objects, BURST) != 0)
			abort();
		sum += (uintptr_t)objects[i % BURST];
		rte_mempool_put_bulk(pool, objects, BURST);
	}
	return sum;
}

static uintptr_t put_get_burst(void *arg, uint64_t turns)
{
	struct subject *subject = arg;
	struct rte_mempool *pool = subject->pool;
	uintptr_t sum = 0;

	for (uint64_t i = 0; i < turns; i++) {
		const uint16_t *order = &subject->order[i % (HELD / BURST) * BURST];

		for (int k = 0; k < BURST; k++)
			rte_mempool_put(pool, subject->held[order[k]]);
		for (int k = 0; k < BURST; k++) {
			if (rte_mempool_get(pool, &subject->held[order[k]]) != 0)
				abort();
			sum += (uintptr_t)subject->held[order[k]];
		}
	}
	return sum;
}

static void hold(struct subject *subject)
{
	uint32_t seed = 1;

	for (int i = 0; i < HELD; i++) {
		subject->order[i] = (uint16_t)i;
		if (rte_mempool_get(subject->pool, &subject->held[i]) != 0)
			abort();
	}
	for (int i = HELD - 1; i > 0; i--) {
		uint16_t kept = subject->order[i];
		int j;

		seed = seed * 1664525 + 1013904223;
		j = (int)(seed >> 8) % (i + 1);
		subject->order[i] = subject->order[j];
		subject->order[j] = kept;
	}
}

/* An lcore that may run on any CPU this process may use: the JavaScript rows are not pinned either. */
static void floating_lcore(char *out, size_t size)
{
	cpu_set_t allowed;
	size_t at = (size_t)snprintf(out, size, "--lcores=0@(");
	const char *separator = "";

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE && at < size - 8; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		at += (size_t)snprintf(out + at, size - at, "%s%d", separator, cpu);
		separator = ",";
	}
	snprintf(out + at, size - at, ")");
}

static void start_eal(char *program)
{
	char lcores[512];
	char *argv[] = { program, "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--no-telemetry",
			 "--log-level=*:error", lcores, NULL };

	floating_lcore(lcores, sizeof(lcores));
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		sample_absent("rte_eal_init", rte_errno);
}

int main(int argc, char **argv)
{
	static struct subject subject;
	struct sample_plan plan = sample_parse(argc, argv);
	unsigned int cache = strcmp(plan.mode, "nocache") == 0 ? 0 : CACHE_OBJECTS;

	start_eal(argv[0]);
	subject.pool = rte_mempool_create("bench", ELEMENTS, ELEMENT_BYTES, cache, 0, NULL, NULL, NULL, NULL,
					  SOCKET_ID_ANY, 0);
	if (subject.pool == NULL)
		sample_absent("rte_mempool_create", rte_errno);
	if (strcmp(plan.mode, "bulk64") == 0) {
		sample_run(&plan, get_put_bulk, &subject, BURST);
	} else if (strcmp(plan.mode, "burst64") == 0) {
		hold(&subject);
		sample_run(&plan, put_get_burst, &subject, BURST);
	} else if (strcmp(plan.mode, "single") == 0 || cache == 0) {
		sample_run(&plan, get_put, &subject, 1);
	} else {
		fprintf(stderr, "unknown mode %s\n", plan.mode);
		return 2;
	}
	return 0;
}
