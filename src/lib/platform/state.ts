import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { AiotError } from '../core/index.js';
import { openAuthority } from '../provision/index.js';
import { openBlobs } from './blobs/store.js';
import { Catalogue } from './journal/catalogue.js';
import { Journal } from './journal/journal.js';
import { auditIn } from './services/audit.js';
import { Births } from './services/births.js';
import { Claims } from './services/claims.js';
import { Devices } from './services/devices.js';
import { Enrolment } from './services/enrolment.js';
import { Firmware } from './services/firmware.js';
import { labelsIn } from './services/labels.js';
import { Models } from './services/models.js';
import { Removal } from './services/removal.js';
import { Stages } from './services/stages.js';
import { tokensIn } from './services/tokens.js';
import { trustIn } from './services/trust.js';
import { openStore, type Store } from './store/database.js';
import type { Sync } from './sync.js';

/** Called in reverse order at the end. */
export type Closers = (() => unknown)[];

export interface StateOptions {
  dataDir: string;
  /** ms since 1970 */
  now: () => number;
  log: Logger;
  sync?: Sync | undefined;
}

/** Opens all that a data folder holds: state.db, pki/, blobs/ and journal/. */
export async function openState({ dataDir, now, log, sync }: StateOptions, closers: Closers) {
  const root = resolve(dataDir);
  const database = join(root, 'state.db');
  const lost = () => {
    throw new AiotError(
      'AIOT_FILE_NOT_FOUND',
      `${database} is gone: all devices, models and tokens were in it`,
      {
        next: 'Put it back from a backup, or start a new platform with --data.',
      },
    );
  };
  // It is made before the authority, and notes that it is in use before the server has its certificate: a new one would
  // know nobody.
  if (existsSync(join(root, 'pki', 'ca.crt')) && !existsSync(database)) lost();
  const store = await openStore(database);
  closers.push(() => store.destroy());
  const tokens = tokensIn(store, now);
  const inUse = await isInUse(store);
  if (!inUse && existsSync(join(root, 'pki', 'server.crt'))) lost();
  const authority = await openAuthority(join(root, 'pki'), now, inUse);
  if (!inUse)
    await store
      .insertInto('meta')
      .values({ key: 'created', value: String(now()) })
      .execute();
  const blobs = await openBlobs(join(root, 'blobs'), sync);
  const folder = join(root, 'journal');
  const catalogue = await Catalogue.open(folder);
  const journal = await Journal.open({ folder, index: catalogue, from: catalogue.position, sync });
  closers.push(() => journal.close());
  if (journal.damaged > 0) log.error({ lines: journal.damaged }, 'damaged lines in the journal passed over');
  const trust = trustIn(store);
  const audit = auditIn(store, now);
  const models = new Models(store, blobs, trust, now, audit);
  const removal = new Removal({ store, blobs, models, audit, now });
  await removal.sweep();
  const devices = await Devices.open(store, now);
  const enrolment = new Enrolment({ devices, authority, audit, now });
  return {
    store,
    authority,
    blobs,
    catalogue,
    journal,
    trust,
    tokens,
    labels: labelsIn(store, now),
    devices,
    enrolment,
    claims: new Claims({ store, devices, enrolment, now }),
    births: new Births({ store, devices, trust, audit, now }),
    firmware: new Firmware({ store, blobs, trust, audit, now }),
    audit,
    models,
    removal,
    stages: new Stages({ store, models, audit }),
  };
}

async function isInUse(store: Store): Promise<boolean> {
  const row = await store.selectFrom('meta').select('value').where('key', '=', 'created').executeTakeFirst();
  return row !== undefined;
}
