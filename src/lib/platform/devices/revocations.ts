import { existsSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import { writeFileAtomic } from '../../core/files.js';
import type { Authority, IssuedCertificate } from '../../provision/authority.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';

/** Records a certificate in the transaction that issues it to a device. */
export async function noteCertificate(
  store: Store,
  device: string,
  { serial, fingerprint, expires }: IssuedCertificate,
): Promise<void> {
  await store.insertInto('certificates').values({ serial, fingerprint, device, expires }).execute();
}

interface Parts {
  /** Path of the list, which is replaced atomically. */
  file: string;
  /** Whether a broker reads the list. If not, the list is written once, so that a broker set up later can start. */
  follow: boolean;
  store: Store;
  devices: Devices;
  authority: Authority;
  /** ms since 1970 */
  now: () => number;
  log: Logger;
}

/**
 * Minimum interval between two lists, ms. OpenSSL distinguishes lists by their time in whole seconds. If two lists have
 * the same time, OpenSSL uses the one that it read first.
 */
const leastMs = 1000;

/** Number of certificates read at once, so that other requests get a turn. */
const rowsAtOnce = 5000;

/** How often to check for changes by other processes and for expired certificates, ms. */
const lookMs = 60_000;

/**
 * Maintains a list of certificates that are no longer valid (RFC 5280, 5) in a file, for an external broker. A certificate is valid while
 * it is the current or next one of a device that may connect. Revocations are in the list within about a second, other changes within a
 * minute.
 */
export async function keepRevocationList(parts: Parts) {
  const { file, follow, store, devices, authority, now, log } = parts;
  let written: string | undefined;
  let writtenAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const write = async () => {
    const serials: string[] = [];
    for (let last = ''; ; ) {
      const rows = await store
        .selectFrom('certificates')
        .select(['serial', 'fingerprint'])
        .where('expires', '>', now())
        .where('serial', '>', last)
        .orderBy('serial')
        .limit(rowsAtOnce)
        .execute();
      for (const { serial, fingerprint } of rows) if (!devices.holds(fingerprint)) serials.push(serial);
      if (rows.length < rowsAtOnce) break;
      last = rows.at(-1)?.serial ?? last;
      await nextTurn();
    }
    if (serials.join() === written) return;
    writtenAt = Math.max(now(), writtenAt + leastMs);
    await writeFileAtomic(file, await authority.revocationList(serials, writtenAt), 0o644);
    written = serials.join();
    log.info({ file, certificates: serials.length }, 'wrote the certificate revocation list');
  };
  const look = () => {
    running ??= write()
      .catch((err: unknown) => log.error({ err, file }, 'could not write the certificate revocation list'))
      .finally(() => {
        running = undefined;
      });
    return running;
  };
  if (follow || !existsSync(file)) await look();
  const looking = follow ? setInterval(look, lookMs) : undefined;
  return {
    /** Must be called when a device may no longer connect. */
    changed(): void {
      if (follow)
        timer ??= setTimeout(() => {
          timer = undefined;
          void look();
        }, leastMs);
    },
    async close(): Promise<void> {
      clearInterval(looking);
      clearTimeout(timer);
      await running;
    },
  };
}
