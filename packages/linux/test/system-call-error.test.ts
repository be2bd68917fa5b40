import { isNetmemError } from "@netmem/core";
import { expect, test } from "vitest";
import { Errno, errnoName, isSystemCallError, SystemCallError } from "../src/index.ts";

const named = [
  ["socket", Errno.EPERM, /CAP_NET_RAW/],
  ["socket", Errno.EAFNOSUPPORT, /CONFIG_XDP_SOCKETS/],
  ["bpf", Errno.EPERM, /CAP_BPF and CAP_NET_ADMIN/],
  ["setsockopt XDP_UMEM_REG", Errno.ENOBUFS, /RLIMIT_MEMLOCK/],
  ["bind", Errno.EBUSY, /queue/],
  ["bind", Errno.ENODEV, /interface/],
  ["sendto", Errno.ENETDOWN, /up/],
  ["mlock", Errno.ENOMEM, /RLIMIT_MEMLOCK/],
  ["setns", Errno.EPERM, /CAP_SYS_ADMIN/],
  ["netlink RTM_NEWLINK", Errno.EPERM, /CAP_NET_ADMIN/],
  ["socket", Errno.EMFILE, /ulimit -n/],
] as const;

test.for(named)("%s and errno %i name the way out", ([call, errno, remedy]) => {
  const error = new SystemCallError(call, errno);
  expect(error.remedy).toMatch(remedy);
  expect(error.message).toContain(errnoName(errno));
  expect(error).toMatchObject({ code: "ERR_NETMEM_SYSTEM_CALL", errno: errnoName(errno), call });
  expect([isNetmemError(error), isSystemCallError(error)]).toEqual([true, true]);
});

test("the action, and a remedy that is known better, go into the message", () => {
  const error = new SystemCallError("bind", Errno.EINVAL, {
    action: "bind queue 7 of veth0",
    remedy: "Take queue 0 to 3.",
  });
  expect(error.message).toBe(
    "ERR_NETMEM_SYSTEM_CALL: cannot bind queue 7 of veth0: bind returned EINVAL. Take queue 0 to 3.",
  );
});

test("an errno without a name keeps its number", () => {
  expect([errnoName(-16), errnoName(999)]).toEqual(["EBUSY", "errno 999"]);
  expect(new SystemCallError("ioctl", 999).errno).toBe("errno 999");
  expect(isSystemCallError(new Error("no"))).toBe(false);
});
