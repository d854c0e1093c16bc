import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import { writeFileAtomic } from '../../core/files.js';
import type { Authority, IssuedCertificate } from '../../provision/authority.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';

/** Notes a certificate in the transaction that gives it to a device. */
export async function noteCertificate(
  store: Store,
  device: string,
  { serial, fingerprint, expires }: IssuedCertificate,
): Promise<void> {
  await store.insertInto('certificates').values({ serial, fingerprint, device, expires }).execute();
}

interface Parts {
  /** Written anew, atomically. */
  file: string;
  /** Whether somebody reads it: else it is written once, so that a broker which is set up later can start. */
  follow: boolean;
  store: Store;
  devices: Devices;
  authority: Authority;
  /** ms since 1970 */
  now: () => number;
  log: Logger;
}

/** Lists differ in their time, which has seconds; of two with one time OpenSSL takes the first that it has read. */
const leastMs = 1000;

/** What other processes and time change. */
const lookMs = 60_000;

/**
 * Keeps a list of the certificates that are not good any more (RFC 5280, 5) in a file, for an external broker: a
 * certificate is good while a device that may connect has it, or is to have it next. What is cut off is in the list within about a
 * second, the rest within a minute.
 */
export async function keepRevocationList(parts: Parts) {
  const { file, follow, store, devices, authority, now, log } = parts;
  let written: string | undefined;
  let writtenAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const write = async () => {
    const rows = await store
      .selectFrom('certificates')
      .select(['serial', 'fingerprint'])
      .where('expires', '>', now())
      .orderBy('serial')
      .execute();
    const serials = rows.filter(({ fingerprint }) => !devices.holds(fingerprint)).map(({ serial }) => serial);
    if (serials.join() === written) return;
    writtenAt = Math.max(now(), writtenAt + leastMs);
    await writeFileAtomic(file, await authority.revocationList(serials, writtenAt), 0o644);
    written = serials.join();
    log.info({ file, certificates: serials.length }, 'the list of revoked certificates was written');
  };
  const look = () => {
    running ??= write()
      .catch((err: unknown) =>
        log.error({ err, file }, 'the list of revoked certificates could not be written'),
      )
      .finally(() => {
        running = undefined;
      });
    return running;
  };
  if (follow || !existsSync(file)) await look();
  const looking = follow ? setInterval(look, lookMs) : undefined;
  return {
    /** A device was cut off. */
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
