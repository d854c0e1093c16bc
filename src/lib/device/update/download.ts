import { AiotError } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import { backOffMs } from '../../core/time.js';
import type { DeviceStore } from '../virtual/store.js';
import type { SlotIndex } from './record.js';
import type { BundleSource } from './types.js';

/** A download fails after this many consecutive attempts without progress. The delays between attempts grow from 200 ms to 5 s. */
const attempts = 6;

/** An attempt that receives fewer bytes than this counts as having made no progress. */
const attemptBytes = 512;
/**
 * Minimum rate; connections that are slower are closed. Otherwise, a platform that sends single bytes could prolong an
 * update for hours.
 */
const [paceMs, paceBytes] = [60_000, 4096];

export interface DownloadPorts {
  store: DeviceStore;
  source: BundleSource;
  clock: Clock;
}

export interface DownloadJob {
  slot: SlotIndex;
  digest: string;
  /** Size of the blob according to the manifest. */
  bytes: number;
  /** Whether the slot already contains a part of this blob. */
  resume: boolean;
  /** For tests: accepts more or fewer bytes than the manifest promises, and keeps the bytes that fit. */
  anyLength?: boolean;
  onErased(): void;
  onProgress(bytes: number): void;
}

/**
 * Streams a blob into a slot, resuming an interrupted download.
 * @returns the number of bytes in the slot @throws AIOT_UPDATE_DOWNLOAD, AIOT_UPDATE_SIZE, PowerCut
 */
export async function downloadToSlot(
  job: DownloadJob,
  ports: DownloadPorts,
  signal: AbortSignal,
): Promise<number> {
  const { store, source, clock } = ports;
  let at = 0;
  if (job.resume) at = store.resumeSlot(job.slot, job.bytes);
  else {
    store.eraseSlot(job.slot, job.bytes);
    job.onErased();
  }
  await retrying(clock, signal, async (progressed) => {
    if (at >= job.bytes) return;
    for await (const chunk of source.blob(job.digest, at, signal)) {
      signal.throwIfAborted();
      const kept = chunk.subarray(0, job.bytes - at);
      if (kept.length < chunk.length && !job.anyLength) {
        throw new AiotError('AIOT_UPDATE_SIZE', `expected ${job.bytes} bytes, got more`);
      }
      store.writeSlot(job.slot, at, kept);
      at += kept.length;
      progressed(kept.length);
      job.onProgress(at);
    }
    if (at < job.bytes && !job.anyLength) {
      throw new AiotError('AIOT_UPDATE_DOWNLOAD', `expected ${job.bytes} bytes, got ${at}`, {
        retryable: true,
      });
    }
  });
  return at;
}

/**
 * Repeats the call after retryable errors; attempts that made progress do not count.
 * @throws AIOT_UPDATE_DOWNLOAD if progress is too slow, and the errors of `call`
 */
export async function retrying<T>(
  clock: Clock,
  signal: AbortSignal,
  call: (progressed: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const time = () => clock.monotonic?.() ?? clock.now();
  for (let failed = 0; ; ) {
    let attempt = 0;
    let [since, bytes] = [time(), 0];
    try {
      return await call((more) => {
        attempt += more;
        if (attempt >= attemptBytes) failed = 0;
        bytes += more;
        if (time() - since < paceMs) return;
        if (bytes < paceBytes) throw tooSlow(`at least ${paceBytes} bytes a minute, got ${bytes}`);
        [since, bytes] = [time(), 0];
      });
    } catch (error) {
      const again = error instanceof AiotError && error.retryable;
      if (signal.aborted || !again || ++failed >= attempts) throw error;
    }
    await clock.sleep(backOffMs(failed, 200, 5000), signal);
  }
}

/** The error for a slow download. Not retryable, because another attempt would take as long. The received bytes are retained. */
function tooSlow(expected: string): AiotError {
  return new AiotError('AIOT_UPDATE_DOWNLOAD', `expected ${expected}`);
}
