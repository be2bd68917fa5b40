import type { LinkOptions, XskLink, XskTestbed } from "./testbed.ts";

/** Runs `use` on a link of its own. */
export async function withLink(
  bed: XskTestbed,
  options: LinkOptions,
  use: (link: XskLink) => void | Promise<void>,
): Promise<void> {
  const link = await bed.openLink(options);
  try {
    await use(link);
  } finally {
    await link.close();
  }
}
