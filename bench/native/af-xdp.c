/*
 * AF_XDP through libxdp as a yardstick: what a C program does with the same rings, the same cable and the same sender.
 *
 * Modes: ringwork                  64 descriptors off the RX ring and onto the fill ring, no kernel; per packet
 *        tx IFNAME                 64-byte frames sent from a pool of chunks, completions taken
 *        rxspin IFNAME             packets looked at and dropped, the ring polled all the time
 *        rxpoll IFNAME             the same, sleeping in poll()
 *        l2fwdspin, l2fwdpoll      MAC addresses swapped and the packet sent back
 *
 * The network modes are started by the suite, in the namespace of the cable, with descriptor 3 an XSKMAP whose program
 * is attached. Each sample is a line {"ns":..,"cpuNs":..,"userNs":..}, per packet, the last two of this thread.
 */
#define _GNU_SOURCE
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <xdp/xsk.h>

#include "sample.h"

#define BATCH 64
#define RING 2048
#define CHUNK 4096
#define CHUNKS 8192
#define FRAME_BYTES 64
#define XSKMAP_FD 3
#define MAX_TX_SKB_BUDGET 9
#define WARM_NS 3e8
#define START_NS 5e9
#define TIME_CHECKS 16

struct fixture {
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	unsigned char *memory;
	int fd;
	uint64_t free[CHUNKS];
	uint32_t free_count;
	uint64_t packets;
	uintptr_t sum;
};

/* ---- ring work without a kernel ---- */

struct ring_words {
	uint32_t producer, consumer, flags;
	uint64_t entries[2 * RING];
};

struct ringwork {
	struct ring_words rx_words, fill_words;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
};

static void ringwork_setup(struct ringwork *work)
{
	struct xdp_desc *descs = (struct xdp_desc *)work->rx_words.entries;

	work->rx.mask = RING - 1;
	work->rx.size = RING;
	work->rx.producer = &work->rx_words.producer;
	work->rx.consumer = &work->rx_words.consumer;
	work->rx.ring = work->rx_words.entries;
	work->rx.flags = &work->rx_words.flags;
	work->fill.mask = RING - 1;
	work->fill.size = RING;
	work->fill.producer = &work->fill_words.producer;
	work->fill.consumer = &work->fill_words.consumer;
	work->fill.ring = work->fill_words.entries;
	work->fill.flags = &work->fill_words.flags;
	work->fill.cached_cons = RING;
	for (int n = 0; n < RING; n++)
		descs[n] = (struct xdp_desc){ .addr = (uint64_t)n * CHUNK + 256, .len = 64 };
}

static uintptr_t ringwork_turns(void *arg, uint64_t turns)
{
	struct ringwork *work = arg;
	uintptr_t sum = 0;

	for (uint64_t i = 0; i < turns; i++) {
		uint32_t at, fill_at;

		/* The other end: 64 packets more, 64 buffers taken. */
		__atomic_store_n(work->rx.producer, work->rx.cached_cons + BATCH, __ATOMIC_RELAXED);
		__atomic_store_n(work->fill.consumer, work->fill.cached_prod, __ATOMIC_RELAXED);
		if (xsk_ring_cons__peek(&work->rx, BATCH, &at) != BATCH ||
		    xsk_ring_prod__reserve(&work->fill, BATCH, &fill_at) != BATCH)
			abort();
		for (int k = 0; k < BATCH; k++) {
			const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&work->rx, at + k);

			sum += desc->len;
			*xsk_ring_prod__fill_addr(&work->fill, fill_at + k) = desc->addr & ~(uint64_t)(CHUNK - 1);
		}
		xsk_ring_prod__submit(&work->fill, BATCH);
		xsk_ring_cons__release(&work->rx, BATCH);
	}
	return sum;
}

/* ---- sockets ---- */

static void open_socket(struct fixture *f, const char *ifname)
{
	const struct xsk_umem_config umem_config = { .fill_size = RING, .comp_size = RING, .frame_size = CHUNK };
	const struct xsk_socket_config config = { .rx_size = RING, .tx_size = RING,
						  .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
						  .bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP };
	uint32_t budget = RING, queue = 0;
	int error;

	f->memory = mmap(NULL, (size_t)CHUNKS * CHUNK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (f->memory == MAP_FAILED)
		sample_absent("mmap", errno);
	error = xsk_umem__create(&f->umem, f->memory, (uint64_t)CHUNKS * CHUNK, &f->fill, &f->completion, &umem_config);
	if (error != 0)
		sample_absent("xsk_umem__create", -error);
	error = xsk_socket__create(&f->socket, ifname, queue, f->umem, &f->rx, &f->tx, &config);
	if (error != 0)
		sample_absent("xsk_socket__create", -error);
	f->fd = xsk_socket__fd(f->socket);
	setsockopt(f->fd, SOL_XDP, MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	for (uint32_t n = 0; n < CHUNKS; n++)
		f->free[f->free_count++] = (uint64_t)n * CHUNK;
	if (bpf_map_update_elem(XSKMAP_FD, &queue, &f->fd, BPF_ANY) != 0)
		sample_absent("no XSKMAP on descriptor 3", errno);
}

static void refill(struct fixture *f)
{
	uint32_t at;

	while (f->free_count >= BATCH && xsk_ring_prod__reserve(&f->fill, BATCH, &at) == BATCH) {
		for (int k = 0; k < BATCH; k++)
			*xsk_ring_prod__fill_addr(&f->fill, at + k) = f->free[--f->free_count];
		xsk_ring_prod__submit(&f->fill, BATCH);
	}
}

static void wait_for_packets(struct fixture *f)
{
	struct pollfd waited = { .fd = f->fd, .events = POLLIN };

	poll(&waited, 1, 10);
}

static uint32_t complete(struct fixture *f)
{
	uint32_t at, count = xsk_ring_cons__peek(&f->completion, RING, &at);

	for (uint32_t k = 0; k < count; k++)
		f->free[f->free_count++] = *xsk_ring_cons__comp_addr(&f->completion, at + k) & ~(uint64_t)(CHUNK - 1);
	xsk_ring_cons__release(&f->completion, count);
	return count;
}

static void kick(struct fixture *f)
{
	if (xsk_ring_prod__needs_wakeup(&f->tx))
		sendto(f->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
}

static void turn_tx(struct fixture *f, int polls)
{
	uint32_t at;

	(void)polls;
	f->packets += complete(f);
	if (f->free_count < BATCH || xsk_ring_prod__reserve(&f->tx, BATCH, &at) != BATCH) {
		kick(f);
		return;
	}
	for (int k = 0; k < BATCH; k++)
		*xsk_ring_prod__tx_desc(&f->tx, at + k) =
			(struct xdp_desc){ .addr = f->free[--f->free_count] + 256, .len = FRAME_BYTES };
	xsk_ring_prod__submit(&f->tx, BATCH);
	kick(f);
}

static void turn_rx(struct fixture *f, int polls)
{
	uint32_t at, count;

	if (polls)
		wait_for_packets(f);
	count = xsk_ring_cons__peek(&f->rx, BATCH, &at);
	for (uint32_t k = 0; k < count; k++) {
		uint64_t addr = xsk_ring_cons__rx_desc(&f->rx, at + k)->addr;

		f->sum += f->memory[addr];
		f->free[f->free_count++] = addr & ~(uint64_t)(CHUNK - 1);
	}
	xsk_ring_cons__release(&f->rx, count);
	f->packets += count;
	refill(f);
}

static void swap_macs(unsigned char *frame)
{
	unsigned char kept[6];

	memcpy(kept, frame, 6);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, kept, 6);
}

static void turn_l2fwd(struct fixture *f, int polls)
{
	uint32_t at, tx_at, count;

	if (polls)
		wait_for_packets(f);
	complete(f);
	count = xsk_ring_cons__peek(&f->rx, BATCH, &at);
	if (count > 0 && xsk_ring_prod__reserve(&f->tx, count, &tx_at) == count) {
		for (uint32_t k = 0; k < count; k++) {
			const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&f->rx, at + k);

			swap_macs(f->memory + desc->addr);
			*xsk_ring_prod__tx_desc(&f->tx, tx_at + k) = (struct xdp_desc){ .addr = desc->addr, .len = desc->len };
		}
		xsk_ring_prod__submit(&f->tx, count);
		f->packets += count;
	} else {
		for (uint32_t k = 0; k < count; k++)
			f->free[f->free_count++] =
				xsk_ring_cons__rx_desc(&f->rx, at + k)->addr & ~(uint64_t)(CHUNK - 1);
	}
	xsk_ring_cons__release(&f->rx, count);
	refill(f);
	kick(f);
}

/* ---- windows ---- */

static double time_ns(const struct timeval *at)
{
	return (double)at->tv_sec * 1e9 + (double)at->tv_usec * 1e3;
}

static void run_for(struct fixture *f, void (*turn)(struct fixture *, int), int polls, double ns)
{
	double end = sample_now_ns() + ns;

	do {
		for (int n = 0; n < TIME_CHECKS; n++)
			turn(f, polls);
	} while (sample_now_ns() < end);
}

static void windows(struct fixture *f, const struct sample_plan *plan, void (*turn)(struct fixture *, int), int polls)
{
	/* The sender is a thread that may still be starting. */
	for (double give_up = sample_now_ns() + START_NS; f->packets == 0 && sample_now_ns() < give_up;)
		run_for(f, turn, polls, 1e6);
	run_for(f, turn, polls, WARM_NS);
	for (int i = 0; i < plan->samples; i++) {
		struct rusage before, after;
		uint64_t packets = f->packets;
		double from = sample_now_ns(), user, all;

		getrusage(RUSAGE_THREAD, &before);
		run_for(f, turn, polls, plan->min_ns);
		getrusage(RUSAGE_THREAD, &after);
		packets = f->packets - packets;
		if (packets == 0)
			sample_absent("no packets came", ENETDOWN);
		user = time_ns(&after.ru_utime) - time_ns(&before.ru_utime);
		all = user + time_ns(&after.ru_stime) - time_ns(&before.ru_stime);
		printf("{\"ns\":%.3f,\"cpuNs\":%.3f,\"userNs\":%.3f}\n", (sample_now_ns() - from) / (double)packets,
		       all / (double)packets, user / (double)packets);
	}
}

int main(int argc, char **argv)
{
	static struct fixture fixture;
	static struct ringwork work;
	struct sample_plan plan;
	char *given[] = { argv[0], argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "", NULL };
	const char *ifname = argc > 4 ? argv[4] : NULL;

	plan = sample_parse(argc < 4 ? argc : 4, given);
	if (strcmp(plan.mode, "ringwork") == 0) {
		ringwork_setup(&work);
		sample_run(&plan, ringwork_turns, &work, BATCH);
		return 0;
	}
	if (ifname == NULL) {
		fprintf(stderr, "usage: %s MODE SAMPLES MIN_MS IFNAME\n", argv[0]);
		return 2;
	}
	open_socket(&fixture, ifname);
	if (strcmp(plan.mode, "tx") != 0)
		refill(&fixture);
	if (strcmp(plan.mode, "tx") == 0)
		windows(&fixture, &plan, turn_tx, 0);
	else if (strcmp(plan.mode, "rxspin") == 0 || strcmp(plan.mode, "rxpoll") == 0)
		windows(&fixture, &plan, turn_rx, strcmp(plan.mode, "rxpoll") == 0);
	else if (strcmp(plan.mode, "l2fwdspin") == 0 || strcmp(plan.mode, "l2fwdpoll") == 0)
		windows(&fixture, &plan, turn_l2fwd, strcmp(plan.mode, "l2fwdpoll") == 0);
	else
		return 2;
	xsk_socket__delete(fixture.socket);
	xsk_umem__delete(fixture.umem);
	sample_sink += fixture.sum;
	return 0;
}
