import type { FileHandle } from "node:fs/promises";

/** What {@link FileMemory} does with its file. Another implementation may be given, for another way of writing or for tests. */
export interface FileOps {
  /**
   * Writes `buffers`, one behind the other, from byte `position` on; resolves with the number of bytes written, which may be
   * less than asked for.
   */
  write(buffers: readonly Uint8Array[], position: number): Promise<number>;
  /** Fills `bytes` from byte `position` on; resolves with the number of bytes read. */
  read(bytes: Uint8Array, position: number): Promise<number>;
  /** What was written survives a power failure when this resolves. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Writes through `handle`. Reading opens the file a second time, with `openReader`, when it is asked for. */
export function handleOps(handle: FileHandle, openReader: () => Promise<FileHandle>): FileOps {
  let reader: Promise<FileHandle> | null = null;
  const getReader = async (): Promise<FileHandle> => {
    reader ??= openReader();
    try {
      return await reader;
    } catch (error) {
      reader = null;
      throw error;
    }
  };
  return {
    write: async (buffers, position) => (await handle.writev(buffers, position)).bytesWritten,
    read: async (bytes, position) => {
      const { bytesRead } = await (await getReader()).read(bytes, 0, bytes.length, position);
      return bytesRead;
    },
    sync: () => handle.datasync(),
    close: async () => {
      try {
        await handle.close();
      } finally {
        await (await reader)?.close();
      }
    },
  };
}
