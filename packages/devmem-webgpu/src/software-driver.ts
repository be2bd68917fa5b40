import { existsSync } from "node:fs";

/** Where Debian's package chromium has a Vulkan loader, and a driver that is software (SwiftShader). */
const CHROMIUM_DIR = "/usr/lib/chromium";
const DRIVER = `${CHROMIUM_DIR}/vk_swiftshader_icd.json`;

/**
 * Variables with which a process of Node.js finds a software driver, where Debian's package chromium is installed; null
 * elsewhere. For tests on machines without a GPU. They count when a process starts, so give them to `spawn`.
 */
export function softwareDriverEnv(): { readonly LD_LIBRARY_PATH: string; readonly VK_ICD_FILENAMES: string } | null {
  return existsSync(DRIVER) ? { LD_LIBRARY_PATH: CHROMIUM_DIR, VK_ICD_FILENAMES: DRIVER } : null;
}
