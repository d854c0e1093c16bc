import { join, resolve } from 'node:path';
import * as z from 'zod';
import { makeFolder, writeFileAtomic } from '../../core/files.js';
import { dataFolder } from '../../core/folders.js';
import { systemClock } from '../../core/time.js';
import { keepRevocationList } from '../devices/revocations.js';
import { Lifecycle } from '../lifecycle.js';
import { createLog } from '../log.js';
import type { Engines } from '../options.js';
import { openState } from '../state.js';
import { calloutKeys, natsAuthFile, writeNatsAuth } from './nats-config.js';

interface BrokerFilesOptions {
  /** Folder to write the files to. */
  out: string;
  /** The external broker's names and addresses; the first is the certificate's common name. */
  names: readonly string[];
  /** The database shared by the platform's processes. */
  engines: Engines & { database: string };
  /** As in PlatformOptions. */
  secret?: string | undefined;
  caPassphrase?: string | undefined;
  /** A folder used only by this process; by default one in the user's data directory. */
  data?: string | undefined;
  log?: (line: string) => void;
}

export const brokerFilesSchema = z.object({
  /** Absolute path of the folder. */
  dir: z.string(),
  files: z.array(z.string()),
  names: z.array(z.string()),
});

export type BrokerFiles = z.output<typeof brokerFilesSchema>;

/** Interval at which certificates are checked, ms; they are renewed a month before they expire. */
const renewMs = 3_600_000;

/**
 * Writes the files of the platform's authority that an external broker needs, for hosts without a platform process. These are the CA, a certificate
 * for that broker with its key, the revocation list, and the part of a NATS server's configuration with the platform's keys. All are kept up to
 * date until `close`.
 * @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_FILE_NOT_WRITABLE
 */
export async function keepBrokerFiles(options: BrokerFilesOptions) {
  const { names, engines, secret, caPassphrase } = options;
  const parts = new Lifecycle();
  const dir = resolve(options.out);
  const now = () => systemClock.now();
  const log = await createLog(options.log);
  try {
    await makeFolder(dir, 0o700);
    const dataDir = resolve(options.data ?? join(dataFolder(), 'broker-files'));
    const { authority, devices, store } = await openState(
      { dataDir, now, log, engines, secret, caPassphrase },
      parts,
    );
    let written = '';
    const certify = async () => {
      const { certificate, key } = await authority.server([...names]);
      if (certificate === written) return;
      await writeFileAtomic(join(dir, 'ca.crt'), authority.certificate, 0o644);
      await writeFileAtomic(join(dir, 'server.key'), key, 0o600);
      await writeFileAtomic(join(dir, 'server.crt'), certificate, 0o644);
      written = certificate;
    };
    await certify();
    await writeNatsAuth(dir, calloutKeys(authority));
    const timer = setInterval(() => {
      certify().catch((err: unknown) => log.error({ err }, "could not renew the broker's certificate"));
    }, renewMs);
    parts.atEnd(() => clearInterval(timer));
    // Written last, so that when this file exists, the others do too.
    const revoked = await parts.start(
      keepRevocationList({
        ...{ file: join(dir, 'devices.crl'), store, devices, authority, now, log },
        follow: true,
      }),
      (it) => it.close(),
    );
    parts.atEnd(devices.watch(() => revoked.changed()));
    const result: BrokerFiles = {
      dir,
      files: ['ca.crt', 'server.crt', 'server.key', natsAuthFile, 'devices.crl'],
      names: [...names],
    };
    return { result, close: () => parts.end() };
  } catch (error) {
    await parts.end();
    throw error;
  }
}
