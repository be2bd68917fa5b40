import { NetmemError } from "@netmem/core";

/** Throws `ERR_NETMEM_NO_GPU` (ENODEV); `reason` says what is missing. */
export function failNoGpu(reason: string, cause?: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_GPU",
    errno: "ENODEV",
    reason,
    remedy: "Install a Vulkan, Metal or D3D12 driver and, in Node.js, the package webgpu; or use other device memory.",
    value: reason,
    cause,
  });
}

/** What a kernel rejects with that the GPU's compiler does not take. */
export function badKernel(cause: unknown): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_GPU_KERNEL",
    errno: "EINVAL",
    reason: `the kernel does not compile: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: "Correct the WGSL; FRAG_KERNEL_PRELUDE stands before it.",
    param: "kernel",
    cause,
  });
}

/** What an upload from shared memory is refused with. */
export function sharedView(): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_SHARED_VIEW",
    errno: "EFAULT",
    reason: "the bytes are in shared memory, which GPU drivers for Node.js crash on",
    remedy: "Copy them first (new Uint8Array(view)), or land them.",
    param: "data",
  });
}
