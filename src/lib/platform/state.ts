import { existsSync } from 'node:fs';
import { chmod, mkdir, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { AiotError } from '../core/errors.js';
import { removeLeftovers } from '../core/files.js';
import { Answers } from './access/answers.js';
import { Failures, secretsIn } from './access/secrets.js';
import { Tokens } from './access/tokens.js';
import { Logins, Sessions, Users } from './access/users.js';
import { Backups } from './backup/create.js';
import { openBlobs } from './blobs/folder.js';
import { leased, leasesIn } from './blobs/leases.js';
import { Uploads } from './blobs/uploads.js';
import { openPki } from './certificates.js';
import { labelsIn } from './datasets/labels.js';
import { Orphans, references } from './datasets/orphans.js';
import { RetentionService } from './datasets/retention.js';
import { Devices } from './devices/devices.js';
import { Births, Claims, Enrolment, Simulated } from './devices/enrolment.js';
import { eventsIn } from './events/events.js';
import { openTelemetry } from './journal/files.js';
import type { Tally } from './journal/lost.js';
import type { Lifecycle } from './lifecycle.js';
import { DiskFigures } from './metrics.js';
import type { Engines } from './options.js';
import { Models } from './releases/models.js';
import { PipelineRuns } from './releases/pipeline-runs.js';
import { Configs, Firmware } from './releases/releases.js';
import { Removal, Stages } from './releases/stages.js';
import { Roots, trustIn } from './releases/trust.js';
import type { Store } from './store/database.js';
import { openEngine, whenSound } from './store/engine.js';
import type { Sync } from './sync.js';
import { Damages, type Finding } from './verify/damage.js';
import { ledgerIn, ledgerWhenSound } from './verify/ledger.js';
import { BlobHealth, Scrub, watchedBlobs } from './verify/scrub.js';

export interface StateOptions {
  dataDir: string;
  /** ms since 1970 */
  now: () => number;
  log: Logger;
  sync?: Sync | undefined;
  disk?: DiskFigures;
  engines?: Engines | undefined;
  /** As of PlatformOptions. */
  secret?: string | undefined;
  caPassphrase?: string | undefined;
  /** Wrong credentials a minute. */
  failures?: number | undefined;
  checkAtOnce?: number | undefined;
}

/** Opens all that a data folder holds: state.db, pki/, blobs/ and journal/. */
export async function openState(options: StateOptions, parts: Lifecycle) {
  const {
    dataDir,
    now,
    log,
    sync,
    disk = new DiskFigures(),
    engines,
    secret,
    caPassphrase: passphrase,
  } = options;
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
  const embedded = engines?.database === undefined;
  if (embedded && existsSync(join(root, 'pki', 'ca.crt')) && !existsSync(database)) lost();
  // The folder is locked: nobody else writes there.
  for (const folder of [root, join(root, 'pki')]) await removeLeftovers(folder);
  await makePrivate(root, embedded ? database : null, log);
  const engine = await parts.start(openEngine(database, engines?.database, options.checkAtOnce), (it) =>
    it.close(),
  );
  const { store, turns, changes } = engine;
  const inUse = await isInUse(store);
  if (embedded && !inUse && existsSync(join(root, 'pki', 'server.crt'))) lost();
  const authority = await openPki({ folder: join(root, 'pki'), engine, now, inUse, secret, passphrase });
  if (!inUse)
    await store
      .insertInto('meta')
      .values({ key: 'created', value: String(now()) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  const answers = new Answers(store, now);
  await whenSound(engine, () => answers.sweep());
  const events = await parts.start(
    eventsIn(store, now, engine.changes, (transaction) => answers.note(transaction)),
    (it) => it.feed.close(),
  );
  const damages = new Damages({ store, events, now, log });
  const leases = leasesIn(store, now);
  const kept = await parts.start(
    openBlobs(join(root, 'blobs'), disk.sync('blobs', sync), engines?.blobs),
    (it) => it.close(),
  );
  const health = new BlobHealth(now, (digest, is) => {
    const noting = is === 'whole' ? damages.repaired([damagedBlob(digest, [])]) : noteBlob(digest);
    noting.catch((err: unknown) => log.error({ err, digest }, 'what is damaged could not be noted'));
  });
  const noteBlob = async (digest: string) => {
    const users = (await references(store)).filter((user) => user.digest === digest).map(({ by }) => by);
    await damages.note([damagedBlob(digest, users)]);
  };
  // What was repaired while the platform was stopped is found to be so by the scrub's worker.
  for (const { part, place } of await damages.open()) if (part === 'blob') health.note(place);
  const blobs = leased(watchedBlobs(kept, health), leases);
  const scrub = await Scrub.open({
    ...{ store, health, damages, log, now, dataDir: root, database: embedded ? database : null },
    blobs: engines?.blobs === undefined ? blobs : null,
  });
  const uploads = await Uploads.open({
    folder: join(root, 'blobs', 'uploads'),
    ...{ blobs, now, sync: disk.sync('uploads', sync), shared: changes.shared },
  });
  const sweeping = setInterval(() => {
    uploads.sweep().catch((err: unknown) => log.error({ err }, 'uploads could not be looked through'));
  }, 3600 * 1000);
  parts.atEnd(() => clearInterval(sweeping));
  const kind = embedded ? 'journal' : 'postgres';
  const telemetry = await parts.start(
    openTelemetry(
      {
        ...{ folder: join(root, 'journal'), now, log, onCommit: disk.commits(kind) },
        ...(embedded
          ? {
              sync: disk.sync('journal', sync),
              ledger: ledgerWhenSound(ledgerIn<Tally[]>(store, 'journal'), engine.soundness),
            }
          : {}),
        damage: (findings) => damages.note(findings),
      },
      engines?.database,
    ),
    (it) => it.close(),
  );
  const sessions = new Sessions();
  const tokens = new Tokens({ store, events, sessions, now });
  parts.atEnd(sessions.watch(tokens, (err) => log.error({ err }, 'open sessions could not be looked at')));
  const logins = new Logins({ store, events, tokens, now });
  const trust = trustIn(store, turns, events);
  const roots = new Roots({ store, turns, events, trust, now });
  const models = new Models(store, blobs, trust, now, events, turns);
  const removal = new Removal({ store, blobs, leases, models, events, now });
  await whenSound(engine, () => models.inTurn(() => removal.sweep()));
  const devices = await Devices.open(store, now, events, turns, changes);
  const labels = labelsIn(store, now, events);
  const enrolment = new Enrolment({ devices, authority, events, now });
  return {
    engine,
    store,
    authority,
    blobs,
    ...{ health, scrub },
    backups: await Backups.open({
      dataDir: root,
      database: embedded ? database : null,
      store,
      turns,
      blobs,
      leases,
      damages,
      telemetry,
      now,
    }),
    telemetry,
    damages,
    trust,
    roots,
    sessions,
    answers,
    failures: new Failures(now, options.failures),
    ...{ tokens, logins, pipelineRuns: new PipelineRuns({ store, events, now }) },
    users: new Users({ store, events, sessions, now }),
    labels,
    retention: new RetentionService({ store, telemetry, labels, events, turns, now }),
    devices,
    enrolment,
    secrets: secretsIn({ store, devices, events, now }),
    simulated: new Simulated({ devices, events, now }),
    claims: new Claims({ store, devices, enrolment, events, now }),
    births: new Births({ store, devices, trust, events, now }),
    firmware: new Firmware({ store, blobs, trust, events, turns, now }),
    configs: new Configs({ store, blobs, trust, events, turns, now }),
    events,
    models,
    uploads,
    orphans: new Orphans({ store, blobs, leases, turns, now }),
    removal,
    stages: new Stages({ store, models, events }),
  };
}

function damagedBlob(digest: string, users: readonly string[]): Finding {
  const by = users.length === 0 ? '' : ` of ${[...new Set(users)].join(', ')}`;
  const problem = `is damaged, a blob${by}: it is not sent. Next: aiot platform verify --repair --from BACKUP`;
  return { part: 'blob', place: digest, problem, repairable: true };
}

async function isInUse(store: Store): Promise<boolean> {
  const row = await store.selectFrom('meta').select('value').where('key', '=', 'created').executeTakeFirst();
  return row !== undefined;
}

/** What others on this machine have no business with. In `pki`, keys are private by themselves, and the CA is for everybody. */
const folders = ['broker', 'blobs', 'journal'];

/**
 * Takes what a data folder holds away from other users of the machine, also where the folder itself was there before and is open to
 * them. SQLite gives its other files the mode of `state.db`. What cannot be changed (of another owner, read-only) is logged; whoever
 * opens it next says whether it will do.
 * @param database file of the state, made when missing; null = it is in PostgreSQL
 */
async function makePrivate(root: string, database: string | null, log: Logger): Promise<void> {
  try {
    for (const name of folders) {
      const folder = join(root, name);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
    }
    if (database === null) return;
    const file = await open(database, 'a', 0o600);
    try {
      await file.chmod(0o600);
    } finally {
      await file.close();
    }
  } catch (err) {
    log.warn({ err }, 'other users of this machine may be able to read the data folder');
  }
}
