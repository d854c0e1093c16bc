import type { RunRecord } from './record.js';

/** Keeps a record on disk while it changes: one write at a time, each of the newest state. */
export function createRecorder(write: (record: RunRecord) => Promise<void>, record: RunRecord) {
  let dirty = false;
  let writing: Promise<void> | undefined;
  const failures: unknown[] = [];
  const loop = async () => {
    while (dirty) {
      dirty = false;
      await write(structuredClone(record));
    }
  };
  const changed = () => {
    dirty = true;
    writing ??= loop()
      .catch((error: unknown) => void failures.push(error))
      .finally(() => {
        writing = undefined;
      });
  };
  return {
    changed,
    /** The newest state is on disk. @throws AIOT_FILE_NOT_WRITABLE */
    async end(): Promise<void> {
      changed();
      while (writing !== undefined) await writing;
      if (failures.length > 0) throw failures[0];
    },
  };
}
