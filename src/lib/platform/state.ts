import { existsSync } from 'node:fs';
import { chmod, mkdir, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Sync } from '../core/append-log.js';
import { AiotError } from '../core/errors.js';
import { removeLeftovers } from '../core/files.js';
import { Answers } from './access/answers.js';
import { Logins } from './access/logins.js';
import type { ProviderOptions } from './access/provider.js';
import { ProviderLogins } from './access/provider-logins.js';
import { Failures, secretsIn } from './access/secrets.js';
import { Tokens } from './access/tokens.js';
import { Sessions, Users } from './access/users.js';
import { Backups } from './backup/create.js';
import { openBlobs } from './blobs/folder.js';
import { leased, leasesIn } from './blobs/leases.js';
import type { BlobStore } from './blobs/store.js';
import { Uploads } from './blobs/uploads.js';
import { openPki } from './certificates.js';
import { labelsIn } from './datasets/labels.js';
import { LogRetentionService } from './datasets/log-retention.js';
import { Orphans, references } from './datasets/orphans.js';
import { RetentionService } from './datasets/retention.js';
import { SuggestionService } from './datasets/suggestions.js';
import { AttentionService } from './devices/attention.js';
import { Batches } from './devices/batches.js';
import { Crashes } from './devices/crashes.js';
import { Devices } from './devices/devices.js';
import { DriftService } from './devices/drift.js';
import { Enrollments } from './devices/enrollments.js';
import { Births, Claims, Enrolment, Simulated } from './devices/enrolment.js';
import { History } from './devices/history.js';
import { CrashSymbols } from './devices/symbols.js';
import { Audit, Denials } from './events/audit.js';
import { type Events, eventsIn } from './events/events.js';
import type { Tally } from './journal/lost.js';
import { openTelemetry } from './journal/sqlite.js';
import { type Lifecycle, PartTable } from './lifecycle.js';
import { DiskFigures } from './metrics.js';
import type { Engines } from './options.js';
import { Models } from './releases/models.js';
import { PipelineRequests } from './releases/pipeline-requests.js';
import { PipelineRuns } from './releases/pipeline-runs.js';
import { Configs, Firmware, type ReleaseParts } from './releases/releases.js';
import { Removal, Stages } from './releases/stages.js';
import { TrainingRuns } from './releases/training-runs.js';
import { Roots, type Trust, trustIn } from './releases/trust.js';
import { Schemas } from './schemas/schemas.js';
import type { Store } from './store/database.js';
import { type Engine, openEngine, whenSound } from './store/engine.js';
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
  /** As in PlatformOptions. */
  secret?: string | undefined;
  caPassphrase?: string | undefined;
  /** As in PlatformOptions. */
  provider?: ProviderOptions | undefined;
  /** Number of wrong credentials allowed per minute. */
  failures?: number | undefined;
  checkAtOnce?: number | undefined;
}

/** Opens the content of a data folder: state.db, telemetry.db, pki/ and blobs/. */
export async function openState(options: StateOptions, lifecycle: Lifecycle) {
  const { disk = new DiskFigures() } = options;
  const root = resolve(options.dataDir);
  const database = options.engines?.database === undefined ? join(root, 'state.db') : null;
  return stateParts.start({ ...options, disk, root, database, mostFailures: options.failures }, lifecycle);
}

type Ground = Omit<StateOptions, 'failures'> & {
  disk: DiskFigures;
  mostFailures: number | undefined;
  /** The data folder's path. */
  root: string;
  /** File that contains the state; null = the state is in PostgreSQL. */
  database: string | null;
};

type WithStore = Ground & { engine: Engine; store: Store };
type WithEvents = WithStore & { events: Events; damages: Damages };

const close = (part: { close(): unknown }) => part.close();
const call = (end: () => unknown) => end();

/** The parts of a data folder and the services on top: each part's name, how it starts, and how it ends. */
const stateParts = new PartTable<Ground>()
  .part('prepared', prepareFolder)
  .part(
    'engine',
    ({ root, engines, checkAtOnce }) => openEngine(join(root, 'state.db'), engines?.database, checkAtOnce),
    close,
  )
  .part('store', ({ engine }) => engine.store)
  .part('authority', openAuthority)

  // Changes, and permissions to see them.
  .part('answers', async ({ engine, store, now }) => {
    const answers = new Answers(store, now);
    await whenSound(engine, () => answers.sweep());
    return answers;
  })
  .part(
    'events',
    ({ engine, store, now, answers }) =>
      eventsIn(store, now, engine.changes, (transaction) => answers.note(transaction)),
    (it) => it.feed.close(),
  )
  .part('audit', ({ store, engine }) => new Audit(store, engine.turns))
  .part('denials', ({ events, log, now }) => new Denials({ events, log, now }), close)
  .part('damages', ({ store, events, now, log }) => new Damages({ store, events, now, log }))

  // Content by digest, and its integrity.
  .part('leases', ({ store, now }) => leasesIn(store, now))
  .part(
    'storedBlobs',
    ({ root, disk, sync, engines }) =>
      openBlobs(join(root, 'blobs'), disk.sync('blobs', sync), engines?.blobs),
    close,
  )
  .part('health', openHealth)
  .part('blobs', ({ storedBlobs, health, leases }) => leased(watchedBlobs(storedBlobs, health), leases))
  .part('scrub', ({ store, health, damages, blobs, engines, root: dataDir, database, log, now }) =>
    Scrub.open({
      ...{ store, health, damages, log, now, dataDir, database },
      blobs: engines?.blobs === undefined ? blobs : null,
    }),
  )
  .part('uploads', ({ root, blobs, disk, sync, engine, now }) =>
    Uploads.open({
      folder: join(root, 'blobs', 'uploads'),
      ...{ blobs, now, sync: disk.sync('uploads', sync), shared: engine.changes.shared },
    }),
  )
  .part('uploadSweep', sweepUploads, call)
  .part('telemetry', openMessages, close)

  // Access, which may be limited to some devices.
  .part('devices', ({ store, events, engine, now }) =>
    Devices.open(store, now, events, engine.turns, engine.changes),
  )
  .part('sessions', () => new Sessions())
  .part('failures', ({ now, mostFailures }) => new Failures(now, mostFailures))
  .part(
    'providerLogins',
    ({ store, events, sessions, failures, provider, log, now }) =>
      new ProviderLogins({ store, events, sessions, failures, provider, log, now }),
  )
  .part(
    'tokens',
    ({ store, engine: { turns }, events, sessions, providerLogins, devices, now }) =>
      new Tokens({ store, turns, events, sessions, providerLogins, devices, now }),
  )
  .part(
    'logins',
    ({ store, events, tokens, sessions, providerLogins, now }) =>
      new Logins({ store, events, tokens, sessions, providerLogins, now }),
  )
  .part(
    'sessionWatch',
    ({ sessions, tokens, logins, log }) =>
      sessions.watch(tokens, logins, (err) => log.error({ err }, 'could not check for open sessions')),
    call,
  )
  .part(
    'users',
    ({ store, engine: { turns }, events, sessions, now }) =>
      new Users({ store, turns, events, sessions, now }),
  )

  // Releases.
  .part('trust', ({ store, engine, events }) => trustIn(store, engine.turns, events))
  .part(
    'roots',
    ({ store, engine: { turns }, events, trust, now }) => new Roots({ store, turns, events, trust, now }),
  )
  .part('models', (opened) => new Models(releaseParts(opened)))
  .part('firmware', (opened) => new Firmware(releaseParts(opened)))
  .part('configs', (opened) => new Configs(releaseParts(opened)))
  .part('removal', async ({ engine, store, blobs, leases, models, events, now }) => {
    const removal = new Removal({ store, blobs, leases, models, events, now });
    await whenSound(engine, () => models.inTurn(() => removal.sweep()));
    return removal;
  })
  .part('stages', ({ store, models, events }) => new Stages({ store, models, events }))
  .part('pipelineRuns', ({ store, events, now }) => new PipelineRuns({ store, events, now }))
  .part('pipelineRequests', ({ store, events, now }) => new PipelineRequests({ store, events, now }))
  .part('trainingRuns', ({ store, events }) => new TrainingRuns({ store, events }))

  // Devices.
  .part(
    'attention',
    ({ store, events, devices, now }) => new AttentionService({ store, events, devices, now }),
    close,
  )
  .part(
    'drift',
    ({ store, telemetry, devices, models, blobs, log, now }) =>
      new DriftService({ store, telemetry, devices, models, blobs, log, now }),
  )
  .part(
    'symbols',
    ({ store, blobs, events, engine: { turns }, now }) =>
      new CrashSymbols({ store, blobs, events, turns, now }),
    close,
  )
  .part(
    'history',
    ({ store, devices, telemetry, log, now }) => new History({ store, devices, telemetry, log, now }),
  )
  .part(
    'crashes',
    ({ store, events, devices, symbols, now }) => new Crashes({ store, events, devices, symbols, now }),
  )
  .part(
    'enrolment',
    ({ devices, authority, events, now }) => new Enrolment({ devices, authority, events, now }),
  )
  .part('secrets', ({ store, devices, events, now }) => secretsIn({ store, devices, events, now }))
  .part('simulated', ({ devices, events, now }) => new Simulated({ devices, events, now }))
  .part(
    'claims',
    ({ store, devices, enrolment, events, now }) => new Claims({ store, devices, enrolment, events, now }),
  )
  .part('batches', ({ store, events, now }) => new Batches({ store, events, now }))
  .part(
    'enrollments',
    ({ store, batches, devices, enrolment, events, now }) =>
      new Enrollments({ store, batches, devices, enrolment, events, now }),
  )
  .part('schemas', ({ store, events, engine: { turns }, now }) => new Schemas({ store, events, turns, now }))
  .part(
    'births',
    ({ store, devices, trust, events, now }) => new Births({ store, devices, trust, events, now }),
  )

  // Recordings, and backups.
  .part('labels', ({ store, now, events }) => labelsIn(store, now, events))
  .part(
    'suggestions',
    ({ store, telemetry, labels, events, now }) =>
      new SuggestionService({ store, telemetry, labels, events, now }),
  )
  .part(
    'logRetention',
    ({ store, telemetry, events, engine: { turns }, now }) =>
      new LogRetentionService({ store, telemetry, events, turns, now }),
  )
  .part(
    'retention',
    ({ store, telemetry, labels, logRetention, events, engine: { turns }, now }) =>
      new RetentionService({ store, telemetry, labels, logs: logRetention, events, turns, now }),
  )
  .part(
    'orphans',
    ({ store, blobs, leases, engine: { turns }, now }) => new Orphans({ store, blobs, leases, turns, now }),
  )
  .part('backups', ({ root: dataDir, database, engine: { turns }, ...opened }) => {
    const { store, blobs, leases, damages, telemetry, now } = opened;
    return Backups.open({ dataDir, database, store, turns, blobs, leases, damages, telemetry, now });
  });

/**
 * Throws if the previous database is lost, because a new database would contain none of the devices, models and tokens.
 */
async function prepareFolder({ root, database, log }: Ground): Promise<void> {
  if (database !== null && existsSync(join(root, 'pki', 'ca.crt')) && !existsSync(database))
    throw lostDatabase(database);
  // The folder is locked, so no other process writes to it.
  for (const folder of [root, join(root, 'pki')]) await removeLeftovers(folder);
  await makePrivate(root, database, log);
}

function lostDatabase(database: string): AiotError {
  return new AiotError(
    'AIOT_FILE_NOT_FOUND',
    `${database} is missing: it contained all devices, models and tokens`,
    {
      next: 'Restore it from a backup, or start a new platform with --data.',
    },
  );
}

/**
 * Opens the CA. The order of writes reveals whether a database was lost: `meta` records that the database is in use before the server
 * certificate is created.
 */
async function openAuthority({ root, database, engine, store, now, secret, caPassphrase }: WithStore) {
  const folder = join(root, 'pki');
  const created = store.selectFrom('meta').select('value').where('key', '=', 'created');
  const inUse = (await created.executeTakeFirst()) !== undefined;
  if (database !== null && !inUse && existsSync(join(folder, 'server.crt'))) throw lostDatabase(database);
  const authority = await openPki({ folder, engine, now, inUse, secret, passphrase: caPassphrase });
  if (!inUse)
    await store
      .insertInto('meta')
      .values({ key: 'created', value: String(now()) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  return authority;
}

async function openHealth({ store, damages, log, now }: WithEvents): Promise<BlobHealth> {
  const noteBlob = async (digest: string) => {
    const users = (await references(store)).filter((user) => user.digest === digest).map(({ by }) => by);
    await damages.note([damagedBlob(digest, users)]);
  };
  const health = new BlobHealth(now, (digest, is) => {
    const noting = is === 'whole' ? damages.repaired([damagedBlob(digest, [])]) : noteBlob(digest);
    noting.catch((err: unknown) => log.error({ err, digest }, 'could not record the damage'));
  });
  // Damage repaired while the platform was stopped is detected by the scrub's worker.
  for (const { part, place } of await damages.open()) if (part === 'blob') health.note(place);
  return health;
}

function damagedBlob(digest: string, users: readonly string[]): Finding {
  const by = users.length === 0 ? '' : ` of ${[...new Set(users)].join(', ')}`;
  const problem = `is damaged, a blob${by}: it is not sent. Next: aiot platform verify --repair --from BACKUP`;
  return { part: 'blob', place: digest, problem, repairable: true };
}

function sweepUploads({ uploads, log }: Ground & { uploads: Uploads }): () => void {
  const sweeping = setInterval(() => {
    uploads.sweep().catch((err: unknown) => log.error({ err }, 'could not check the uploads'));
  }, 3600 * 1000);
  return () => clearInterval(sweeping);
}

function openMessages({ root, database, engines, engine, store, damages, disk, sync, log, now }: WithEvents) {
  const embedded = database !== null;
  const files = embedded && {
    sync: disk.sync('journal', sync),
    ledger: ledgerWhenSound(ledgerIn<Tally[]>(store, 'journal'), engine.soundness),
  };
  return openTelemetry(
    {
      ...{ folder: root, now, log, ...files },
      onCommit: disk.commits(embedded ? 'journal' : 'postgres'),
      damage: (findings) => damages.note(findings),
    },
    engines?.database,
  );
}

function releaseParts({
  store,
  blobs,
  trust,
  events,
  engine,
  now,
}: WithEvents & { blobs: BlobStore; trust: Trust }): ReleaseParts {
  return { store, blobs, trust, events, turns: engine.turns, now };
}

/**
 * Folders closed to other users. `pki` is not listed, because its key files are private anyway, and the CA certificate
 * is public.
 */
const folders = ['broker', 'blobs'];

/**
 * Removes other users' access to a data folder, even if the folder existed before and was open to them. SQLite gives
 * its other files the mode of `state.db`. Failures (another owner, read-only) are logged; opening the files later
 * reports whether they are usable.
 * @param database file that contains the state, created if missing; null = the state is in PostgreSQL
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
