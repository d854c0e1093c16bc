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

interface BrokerFilesOptions {
  /** Folder to write them to. */
  out: string;
  /** Names and addresses of that broker; the first is its certificate's own. */
  names: readonly string[];
  /** The database that the platform's processes share. */
  engines: Engines & { database: string };
  /** As of PlatformOptions. */
  secret?: string | undefined;
  caPassphrase?: string | undefined;
  /** A folder of this process's own; one in the user's data when absent. */
  data?: string | undefined;
  log?: (line: string) => void;
}

export const brokerFilesSchema = z.object({
  /** Absolute folder. */
  dir: z.string(),
  files: z.array(z.string()),
  names: z.array(z.string()),
});

export type BrokerFiles = z.output<typeof brokerFilesSchema>;

/** Certificates are looked at so often, ms; they are renewed a month before they end. */
const renewMs = 3_600_000;

/**
 * Writes what another broker needs of the platform's authority, where no process of the platform is beside it: the CA, a certificate
 * for that broker with its key, and the list of revoked ones. All four are kept up to date until `close`.
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
    const timer = setInterval(() => {
      certify().catch((err: unknown) => log.error({ err }, 'the broker’s certificate could not be renewed'));
    }, renewMs);
    parts.atEnd(() => clearInterval(timer));
    // Last: who waits for this file has the others too.
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
      files: ['ca.crt', 'server.crt', 'server.key', 'devices.crl'],
      names: [...names],
    };
    return { result, close: () => parts.end() };
  } catch (error) {
    await parts.end();
    throw error;
  }
}
