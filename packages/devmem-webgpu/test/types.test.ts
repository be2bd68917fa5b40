/// <reference types="webgpu" />
import { expectTypeOf, test } from "vitest";
import type { Gpu, GpuBuffer, GpuDevice } from "../src/index.ts";

test("the types of WebGPU fit ours", () => {
  expectTypeOf<GPUDevice>().toExtend<GpuDevice>();
  expectTypeOf<GPU>().toExtend<Gpu>();
  expectTypeOf<GPUBuffer>().toExtend<GpuBuffer>();
});
