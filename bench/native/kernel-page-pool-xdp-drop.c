/*
 * The kernel's own page_pool + XDP_DROP as a yardstick, by live-frame BPF_PROG_TEST_RUN: for every packet the kernel
 * takes a page from a page_pool, runs the program over it in batches of 64 and recycles the page into the pool.
 *
 * Mode: drop64    64-byte packets, a program of two instructions that returns XDP_DROP
 *
 * Runs in a network namespace of its own, with that namespace's lo as ingress device: no real interface is touched.
 * Needs root. The time of a call includes making and destroying the kernel's pool, shared by CALL_PACKETS packets.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "sample.h"

#define PACKET_BYTES 64
#define BATCH 64
#define CALL_PACKETS 262144
#define LOOPBACK_IFINDEX 1

static int load_drop_program(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bench_drop", "MIT", insns, sizeof(insns) / sizeof(insns[0]), NULL);
}

static uintptr_t drop_packets(void *arg, uint64_t turns)
{
	static unsigned char packet[PACKET_BYTES];
	struct xdp_md context = { .data_end = PACKET_BYTES, .ingress_ifindex = LOOPBACK_IFINDEX };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = PACKET_BYTES, .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .repeat = CALL_PACKETS, .batch_size = BATCH,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	for (uint64_t i = 0; i < turns; i++) {
		int error = bpf_prog_test_run_opts(*(int *)arg, &options);

		if (error != 0)
			sample_absent("live-frame BPF_PROG_TEST_RUN refused", -error);
	}
	return options.retval;
}

int main(int argc, char **argv)
{
	struct sample_plan plan = sample_parse(argc, argv);
	int program;

	if (strcmp(plan.mode, "drop64") != 0) {
		fprintf(stderr, "unknown mode %s\n", plan.mode);
		return 2;
	}
	if (unshare(CLONE_NEWNET) != 0)
		sample_absent("cannot make a network namespace (root is needed)", errno);
	program = load_drop_program();
	if (program < 0)
		sample_absent("cannot load an XDP program", -program);
	sample_run(&plan, drop_packets, &program, CALL_PACKETS);
	close(program);
	return 0;
}
