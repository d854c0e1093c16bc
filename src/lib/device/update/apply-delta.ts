import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { DeltaDecoder } from '../../formats/index.js';
import { type DownloadJob, type DownloadPorts, retrying } from './download.js';
import type { Delta } from './types.js';

/** Bytes of the patch that are decoded at once: a few make many. */
const pieceBytes = 512;

export interface DeltaJob extends Omit<DownloadJob, 'anyLength'> {
  delta: Delta;
}

/**
 * Makes a slot's content of the active one's by a patch, as it comes; a broken connection is taken up where it broke. After a power cut the
 * patch is read from its beginning, for the decoder's state is gone, and what the slot holds already is not written again.
 * @returns the number of bytes in the slot @throws AIOT_DELTA_MALFORMED, AIOT_UPDATE_DOWNLOAD, PowerCut
 */
export async function deltaToSlot(job: DeltaJob, ports: DownloadPorts, signal: AbortSignal): Promise<number> {
  const { delta, slot, bytes } = job;
  const { store, source, clock } = ports;
  let held = 0;
  if (job.resume) held = store.resumeSlot(slot, bytes);
  else {
    store.eraseSlot(slot, bytes);
    job.onErased();
  }
  const decoder = new DeltaDecoder(
    (from, count) => store.readSlot(delta.base, count, from),
    delta.baseBytes,
    bytes,
  );
  const hash = createHash('sha256');
  let [got, made] = [0, 0];
  const take = (piece: Uint8Array) => {
    const out = decoder.push(piece);
    const fresh = out.subarray(Math.min(out.length, Math.max(0, held - made)));
    if (fresh.length > 0) store.writeSlot(slot, made + out.length - fresh.length, fresh);
    made += out.length;
  };
  await retrying(clock, signal, async (progressed) => {
    if (got >= delta.bytes) return;
    for await (const chunk of source.blob(delta.digest, got, signal)) {
      signal.throwIfAborted();
      if (chunk.length > delta.bytes - got) throw malformed(`expected ${delta.bytes} bytes, got more`);
      hash.update(chunk);
      got += chunk.length;
      for (let at = 0; at < chunk.length; at += pieceBytes) take(chunk.subarray(at, at + pieceBytes));
      progressed(chunk.length);
      job.onProgress(Math.max(made, held));
    }
    if (got < delta.bytes) {
      const message = `expected ${delta.bytes} bytes of a patch, got ${got}`;
      throw new AiotError('AIOT_UPDATE_DOWNLOAD', message, { retryable: true });
    }
  });
  const digest = `sha256:${hash.digest('hex')}`;
  if (digest !== delta.digest) throw malformed(`expected ${delta.digest}, got ${digest}`);
  if (!decoder.done) throw malformed(`it makes ${made} bytes of ${bytes}`);
  return made;
}

function malformed(what: string): AiotError {
  return new AiotError('AIOT_DELTA_MALFORMED', `the patch: ${what}`);
}
