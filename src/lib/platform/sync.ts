import type { FileHandle } from 'node:fs/promises';

/**
 * Makes a file's data durable. A port, because a test has to see that nothing is acknowledged while it blocks, or after
 * it failed: killing a process shows no missing sync, the kernel still has the data.
 */
export type Sync = (file: FileHandle) => Promise<void>;

export const dataSync: Sync = (file) => file.datasync();
