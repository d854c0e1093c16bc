import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import { readBackup, sealedEnd, unsealFile } from '../backup/format.js';
import { fillSqlite } from '../backup/tables.js';
import { verifyBrokerLog } from '../broker/session-log.js';
import { storageError } from '../errors.js';
import { eventsIn } from '../events/events.js';
import { telemetryFile } from '../journal/lost.js';
import { repairTelemetry, verifyTelemetry as verifyMessages } from '../journal/verify.js';
import { lockFolder, runningPlatform } from '../running.js';
import { openStore, type Store } from '../store/database.js';
import { noChanges } from '../store/engine.js';
import { migrations } from '../store/migrations.js';
import { isOrphan, repairBlob, setAside, verifyBlobs, verifyReferences } from './blobs.js';
import { Damages, type Finding } from './damage.js';
import { bytesOf, databaseFile, repairDatabase, repairText, verifyDatabase } from './database.js';

const partNames = ['database', 'journal', 'index', 'broker', 'blob', 'key', 'reference'] as const;

const findingSchema = z.object({
  part: z.enum(partNames),
  /** The file in the data folder, or the blob's digest. */
  place: z.string(),
  problem: z.string(),
  lost: z
    .object({
      stream: z.string(),
      device: z.string(),
      from: z.string(),
      to: z.string(),
      rows: z.int(),
    })
    .partial()
    .optional(),
  repairable: z.boolean(),
  /** How the finding was repaired; null = not repaired. */
  repaired: z.string().nullable(),
});

export const verifiedSchema = z.object({
  /** The data folder. */
  data: z.string(),
  /** Whether a platform was running on the folder during the check. */
  running: z.boolean(),
  /** The backup used for the repair; null = none. */
  from: z.string().nullable(),
  /** Checked items by part: number of files or rows, and bytes read. */
  checked: z.array(
    z.object({ part: z.enum(partNames), count: z.int().nullable(), bytes: z.int().nullable() }),
  ),
  findings: z.array(findingSchema),
  /** Findings that were not repaired. */
  unrepaired: z.int(),
});

export type Verified = z.output<typeof verifiedSchema>;

export interface VerifyOptions {
  /** The data folder. */
  data: string;
  repair: boolean;
  /** A backup to repair from, and its passphrase. */
  backup?: { file: string; passphrase: string } | undefined;
  /** Passphrase of an encrypted CA key. */
  caPassphrase?: string | undefined;
  /** ms since 1970 */
  now?: number;
  /** Called with the number of bytes of each piece as blobs are read. */
  progress?: (bytes: number) => void;
}

/**
 * Checks everything that a platform stores in its folder, and repairs damage where possible without changing intact
 * data. A check can run while the platform is running; for a repair, the platform must be stopped.
 * @throws AIOT_FILE_NOT_FOUND (no data folder), AIOT_PLATFORM_RUNNING (repair), AIOT_BACKUP_MALFORMED,
 * AIOT_BACKUP_PASSPHRASE, AIOT_DISK_FULL
 */
export async function verifyPlatform(options: VerifyOptions): Promise<Verified> {
  const data = resolve(options.data);
  if (!existsSync(join(data, 'pki')) && !existsSync(databaseFile(data))) {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${data} is not a platform folder`, {
      next: 'Specify the folder used with `aiot up`: --data DIR',
    });
  }
  const running = (await runningPlatform(data)) !== null;
  const release = options.repair ? await lockFolder(data) : () => {};
  try {
    return await look(data, running, options);
  } catch (error) {
    throw storageError(error);
  } finally {
    release();
  }
}

async function look(data: string, running: boolean, options: VerifyOptions): Promise<Verified> {
  const { repair, now = Date.now(), progress = () => {} } = options;
  const database = databaseFile(data);
  const embedded = existsSync(database) || existsSync(join(data, telemetryFile));
  const backup = new BackupCopy(data, options.backup);
  const findings: Verified['findings'] = [];
  const add = async (found: readonly Finding[], mend: (finding: Finding) => Promise<string | null>) => {
    for (const finding of found) findings.push({ ...finding, repaired: repair ? await mend(finding) : null });
  };
  const taken = (done: boolean) => (done ? `taken from the backup of ${backup.made()}` : null);
  try {
    const inDatabase = await verifyDatabase(database);
    let repaired: string | null | undefined;
    // One repair covers all findings in the database.
    await add(inDatabase, async () => {
      if (repaired === undefined) {
        const how = await repairDatabase(database, await backup.database());
        repaired = how && repairText(how, backup.made());
      }
      return repaired;
    });
    await add(await verifyKeys(data, options.caPassphrase), async (finding) => {
      const own = finding.problem.startsWith('other users');
      const done = await repairKey(data, finding, own ? null : await backup.folder());
      return own ? 'closed to others' : taken(done);
    });
    const sound = inDatabase.length === 0 || typeof repaired === 'string';
    const store = sound && embedded ? await storeOf(database, repair) : null;
    await verifyTelemetry(data, { store, repair, backup }, findings);
    const blobs = await verifyBlobs(data, progress);
    const refer = sound && embedded ? await verifyReferences(database, blobs.there, now) : [];
    const orphans = new Set(refer.filter(isOrphan).map(({ place }) => place));
    await add(blobs.findings, async ({ place }) => {
      if (await repairBlob(data, place, await backup.folder())) return taken(true);
      if (!orphans.has(place)) return null;
      orphans.delete(place);
      await setAside(data, place);
      return `moved to damaged/: no record refers to it`;
    });
    await add(
      refer.filter((finding) => !isOrphan(finding) || orphans.has(finding.place)),
      async (finding) => {
        if (!isOrphan(finding)) return taken(await repairBlob(data, finding.place, await backup.folder()));
        await setAside(data, finding.place);
        return 'moved to damaged/';
      },
    );
    if (repair && store !== null) await forget(store, now, findings);
    await store?.destroy();
    return {
      ...{ data, running, from: options.backup?.file ?? null },
      checked: [
        { part: 'database', count: 1, bytes: await bytesOf(database) },
        { part: 'blob', count: blobs.blobs, bytes: blobs.bytes },
        { part: 'reference', count: sound ? blobs.there.size : null, bytes: null },
        { part: 'key', count: 4, bytes: null },
      ],
      findings,
      unrepaired: findings.filter((finding) => finding.repaired === null).length,
    };
  } finally {
    await backup.close();
  }
}

/** The state as a store; read-only while a platform is running; null if it is from another version of aiot. */
async function storeOf(file: string, repair: boolean): Promise<Store | null> {
  if (repair) return openStore(file);
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const { Kysely, SqliteDialect } = await import('kysely');
  const database = new Database(file, { timeout: 5000 });
  database.exec('PRAGMA query_only=ON');
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version === migrations.length) return new Kysely({ dialect: new SqliteDialect({ database }) });
  database.close();
  return null;
}

/** Checks telemetry and the broker's log first, then repairs them, so that repairs can be reported. */
async function verifyTelemetry(
  data: string,
  { store, repair, backup }: { store: Store | null; repair: boolean; backup: BackupCopy },
  findings: Verified['findings'],
): Promise<void> {
  const state = store === null ? {} : { store };
  const messages = await verifyMessages(data, state);
  const broker = await verifyBrokerLog(data, state);
  let left = messages;
  const folder = repair && messages.length > 0 ? await backup.folder() : null;
  if (folder !== null) {
    await repairTelemetry(data, { ...state, from: join(folder, 'journal'), findings: messages });
    left = await verifyMessages(data, state);
  }
  const whose = ({ lost }: Finding) => `${lost?.stream}/${lost?.device}`;
  const stays = new Map(left.map((finding) => [whose(finding), finding]));
  for (const finding of messages) {
    if (!stays.has(whose(finding)))
      findings.push({ ...finding, repaired: `taken from the backup of ${backup.made()}` });
  }
  for (const finding of [...left, ...broker]) findings.push({ ...finding, repaired: null });
}

/** Deletes the records of repaired damage, so that the platform no longer warns about it. */
async function forget(store: Store, now: number, findings: Verified['findings']): Promise<void> {
  const events = eventsIn(store, () => now, noChanges);
  const damages = new Damages({ store, events, now: () => now, log: { error: () => {} } });
  const repaired = findings.filter((finding) => finding.repaired !== null);
  await damages.repaired(repaired as Finding[], 'platform verify');
  events.feed.close();
}

/** A backup, unpacked on first use next to the folder being repaired. */
class BackupCopy {
  private unpacked: Promise<{ folder: string; made: string; schema: number; database: string }> | null = null;
  private when = '';
  private readonly place: string;

  constructor(
    data: string,
    private readonly source: VerifyOptions['backup'],
  ) {
    this.place = join(data, `.repair-${randomBytes(6).toString('hex')}`);
  }

  /** Time of the backup; empty if the backup was not needed. */
  made(): string {
    return this.when;
  }

  /** Folder with the backup's entries and decrypted keys; null = there is no backup. */
  async folder(): Promise<string | null> {
    return (await this.unpack())?.folder ?? null;
  }

  /** Database filled with the backup's tables; null = there is no backup. */
  async database(): Promise<string | null> {
    return (await this.unpack())?.database ?? null;
  }

  async close(): Promise<void> {
    if (this.unpacked !== null) await rm(this.place, { recursive: true, force: true });
  }

  private async unpack() {
    const { place } = this;
    const source = this.source;
    if (source === undefined) return null;
    this.unpacked ??= (async () => {
      await mkdir(place, { recursive: true, mode: 0o700 });
      const folder = join(place, 'backup');
      const { head, manifest, keys } = await readBackup(source.file, source.passphrase, folder);
      for (const { name } of manifest.entries) {
        if (name.startsWith('pki/'))
          await unsealFile(join(folder, name), join(folder, name.slice(0, -sealedEnd.length)), name, keys);
      }
      const database = join(place, 'state.db');
      await fillSqlite(database, folder, head.schema, keys);
      this.when = new Date(head.created).toISOString();
      return { folder, made: this.when, schema: head.schema, database };
    })();
    return this.unpacked;
  }
}

/** Private folders (0700) and files (0600) of a data folder. */
const privateFolders = ['blobs', 'broker'];

const privateFiles = ['state.db', telemetryFile, 'pki/ca.key', 'pki/server.key', 'pki/secret'];

/** Files that a platform needs once it has been used. */
const needed = ['pki/ca.crt', 'pki/ca.key'];

/**
 * Checks that keys match their certificates, and that other users of the machine have no access.
 * @param passphrase passphrase of an encrypted CA key; without it, such a key is not examined
 */
async function verifyKeys(data: string, passphrase: string | undefined): Promise<Finding[]> {
  const findings: Finding[] = [];
  const found = (place: string, problem: string, repairable = true) =>
    void findings.push({ part: 'key', place, problem, repairable });
  for (const place of [...privateFolders, ...privateFiles]) {
    const mode = await modeOf(join(data, place));
    if (mode !== null && (mode & 0o077) !== 0)
      found(place, `other users can access it: its mode is ${mode.toString(8)}`);
  }
  for (const place of needed) if ((await modeOf(join(data, place))) === null) found(place, 'it is missing');
  const ca = await certificateOf(data, 'pki/ca.crt', found);
  if (ca) await verifyPair(data, { certificate: ca, place: 'pki/ca.key', passphrase }, found);
  const server = await certificateOf(data, 'pki/server.crt', found);
  if (server) {
    await verifyPair(data, { certificate: server, place: 'pki/server.key', passphrase: undefined }, found);
    if (ca && !signed(server, ca)) found('pki/server.crt', 'it was not signed by the CA in pki/ca.crt');
  }
  return findings;
}

type Found = (place: string, problem: string, repairable?: boolean) => void;

async function certificateOf(data: string, place: string, found: Found): Promise<X509Certificate | null> {
  const text = await readFile(join(data, place)).catch(absent);
  if (text === null) return null;
  try {
    return new X509Certificate(text);
  } catch {
    found(place, 'not a PEM certificate');
    return null;
  }
}

async function verifyPair(
  data: string,
  {
    certificate,
    place,
    passphrase,
  }: { certificate: X509Certificate; place: string; passphrase: string | undefined },
  found: Found,
): Promise<void> {
  const text = await readFile(join(data, place), 'utf8').catch(absent);
  if (text === null) {
    if (!needed.includes(place)) found(place, 'it is missing');
    return;
  }
  const sealed = text.includes('BEGIN ENCRYPTED PRIVATE KEY');
  if (sealed && passphrase === undefined) return;
  try {
    const key = createPrivateKey({
      key: text,
      ...(sealed && passphrase !== undefined ? { passphrase } : {}),
    });
    if (!certificate.checkPrivateKey(key)) found(place, 'it does not match the certificate next to it');
  } catch {
    found(place, sealed ? 'AIOT_CA_PASSPHRASE does not decrypt it' : 'not a PEM private key');
  }
}

function signed(server: X509Certificate, ca: X509Certificate): boolean {
  try {
    return server.verify(ca.publicKey);
  } catch {
    return false;
  }
}

/**
 * Removes other users' access, or restores the file from the backup.
 * @param from folder with the backup's pki, decrypted; null = there is no backup
 */
async function repairKey(data: string, { place, problem }: Finding, from: string | null): Promise<boolean> {
  const path = join(data, place);
  if (problem.startsWith('other users')) {
    await chmod(path, privateFolders.includes(place) ? 0o700 : 0o600);
    return true;
  }
  if (from === null) return false;
  // A key is valid only with its certificate, so both are restored.
  const pair = place.includes('/ca.') ? ['pki/ca.key', 'pki/ca.crt'] : ['pki/server.key', 'pki/server.crt'];
  for (const each of pair) if ((await modeOf(join(from, each))) === null) return false;
  for (const each of pair) {
    await copyFile(join(from, each), join(data, each));
    await chmod(join(data, each), each.endsWith('.key') ? 0o600 : 0o644);
  }
  return true;
}

async function modeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(absent);
  return found && found.mode & 0o777;
}

function absent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}
