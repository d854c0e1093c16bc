import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Pack } from 'tar-stream';
import { AiotError, hasCode } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import type { Leases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import { references } from '../datasets/orphans.js';
import { writeSegments } from '../journal/segments.js';
import { migratedFolder } from '../journal/sqlite.js';
import type { Telemetry } from '../journal/telemetry.js';
import { verifyTelemetry } from '../journal/verify.js';
import { damagedDatabase, quickCheckApart, type Store, snapshot } from '../store/database.js';
import { serially, type Turns } from '../store/engine.js';
import { migrations } from '../store/migrations.js';
import type { Damages } from '../verify/damage.js';
import {
  type BackupHead,
  type BackupManifest,
  checkPassphrase,
  format,
  type Keys,
  keysOf,
  macOf,
  names,
  newScrypt,
  sealedEnd,
  sealFile,
} from './format.js';
import { sealedTables, tablesOf, writeTable } from './tables.js';

interface BackupParts {
  dataDir: string;
  /** state.db; null = the database is PostgreSQL. */
  database: string | null;
  store: Store;
  turns: Turns;
  blobs: BlobStore;
  leases: Leases;
  damages: Pick<Damages, 'note' | 'open'>;
  telemetry: Telemetry;
  /** ms since 1970 */
  now: () => number;
}

/** A tar entry, and the file or data that its content comes from. */
interface Staged {
  name: string;
  path: string;
  bytes: number;
}

const folderName = '.backup';

/** Makes backups of a running platform. */
export class Backups {
  private readonly inTurn = serially();

  private constructor(private readonly parts: BackupParts) {}

  /** Deletes files left by a killed process; no other process uses the folder. */
  static async open(parts: BackupParts): Promise<Backups> {
    await rm(join(parts.dataDir, folderName), { recursive: true, force: true });
    return new Backups(parts);
  }

  /**
   * Creates a tar of everything that was acknowledged before the call. Its contents are captured first: a consistent snapshot of the tables,
   * telemetry as segments of lines, and leases on all blobs. `pack` is filled while it is read.
   * @throws AIOT_USAGE (passphrase), AIOT_DISK_FULL, AIOT_FILE_MALFORMED (the database is damaged)
   */
  async create(passphrase: string): Promise<{ pack: Readable; head: BackupHead }> {
    checkPassphrase(passphrase);
    // Checked only for new backups, so that an old backup with such a passphrase can still be restored.
    if (passphrase.trim() === '')
      throw new AiotError('AIOT_USAGE', 'expected a passphrase that does not consist only of spaces');
    const scrypt = newScrypt();
    const keys = await keysOf(passphrase, scrypt);
    const head: BackupHead = {
      ...{ format, aiot: aiotVersion(), schema: migrations.length, created: this.parts.now(), scrypt },
    };
    const damaged = await this.damagedJournal();
    await this.requireSound();
    const set = await this.inTurn(() => this.setAside(keys));
    const { pack: newPack } = await import('tar-stream');
    const pack = newPack({ highWaterMark: 256 * 1024 });
    const aside = () => void rm(set.folder, { recursive: true, force: true }).catch(() => {});
    pack.once('close', aside);
    this.fill(pack, { head, keys, damaged, ...set }).catch((error: Error) => pack.destroy(error));
    return { pack: Readable.from(pack, { objectMode: false }), head };
  }

  private async setAside(keys: Keys): Promise<{
    folder: string;
    staged: Staged[];
    blobs: string[];
    referred: ReadonlySet<string>;
    rows: BackupManifest['rows'];
  }> {
    const { dataDir, turns } = this.parts;
    const base = join(dataDir, folderName);
    const folder = join(base, randomBytes(6).toString('hex'));
    await mkdir(join(folder, 'open'), { recursive: true, mode: 0o700 });
    try {
      // Keeps blobs from being deleted between the lookup of references and the lease.
      const { rows, blobs, referred } = await turns.of('models')(() =>
        turns.of('firmware')(() => this.tables(folder)),
      );
      for (const [name] of Object.entries(rows)) {
        if (sealedTables.has(name)) await seal(folder, 'tables', `${name}.ndjson`, keys);
      }
      await this.pki(folder, keys);
      await writeSegments(this.parts.telemetry.stored(), join(folder, 'journal'));
      await rm(join(folder, 'open'), { recursive: true, force: true });
      const staged = (
        await Promise.all(['tables', 'pki', 'journal'].map((part) => listed(folder, part)))
      ).flat();
      return { folder, staged, blobs, referred, rows };
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private async isDamaged(digest: string): Promise<boolean> {
    try {
      await this.parts.blobs.ready(digest);
      return false;
    } catch (error) {
      if (hasCode(error, 'AIOT_BLOB_DAMAGED')) return true;
      throw error;
    }
  }

  /** Damaged parts of the journal, except those that an operator has acknowledged. */
  private async damagedJournal(): Promise<string[]> {
    const { damages, database, dataDir, store } = this.parts;
    if (database === null) return [];
    await damages.note(await verifyTelemetry(dataDir, { store }));
    const open = (await damages.open()).filter(({ part }) => part === 'journal');
    return open.map(({ place, problem }) => `${place}: ${problem}`);
  }

  /** @throws AIOT_FILE_MALFORMED */
  private async requireSound(): Promise<void> {
    const { database } = this.parts;
    if (database === null) return;
    const found = (await quickCheckApart(database).done) ?? [];
    if (found.length > 0) throw damagedDatabase(database, found);
  }

  /** `referred` contains the blobs that something refers to; the other blobs are uploads without references so far. */
  private async tables(
    folder: string,
  ): Promise<{ rows: BackupManifest['rows']; blobs: string[]; referred: ReadonlySet<string> }> {
    const { store, database, leases } = this.parts;
    await mkdir(join(folder, 'tables'));
    const rows: BackupManifest['rows'] = {};
    let referred: ReadonlySet<string> = new Set();
    const wanted = await snapshot(store, database, async (moment) => {
      referred = new Set((await references(moment)).map(({ digest }) => digest));
      const found = new Set(referred);
      for (const { digest } of await moment.selectFrom('blobLeases').select('digest').execute())
        found.add(digest);
      for (const table of await tablesOf()) {
        const at = join(folder, sealedTables.has(table.name) ? 'open' : 'tables', `${table.name}.ndjson`);
        rows[table.name] = await writeTable(moment, table, at);
      }
      return [...found].sort();
    });
    await leases.take(...wanted);
    return { rows, blobs: wanted, referred };
  }

  private async pki(folder: string, keys: Keys): Promise<void> {
    await mkdir(join(folder, 'pki'));
    const from = join(this.parts.dataDir, 'pki');
    for (const name of await readdir(from)) {
      const entry = `pki/${name}${sealedEnd}`;
      if (/^[A-Za-z][A-Za-z0-9.]*$/.test(name))
        await sealFile(join(from, name), join(folder, entry), entry, keys);
    }
  }

  private async fill(
    pack: Pack,
    {
      head,
      keys,
      staged,
      blobs,
      referred,
      rows,
      damaged,
    }: Awaited<ReturnType<Backups['setAside']>> & { head: BackupHead; keys: Keys; damaged: string[] },
  ): Promise<void> {
    const entries: BackupManifest['entries'] = [];
    const missing: string[] = [];
    const mtime = new Date(head.created);
    const add = async (name: string, bytes: number, source: Readable) => {
      const hash = createHash('sha256');
      const entry = pack.entry({ name, size: bytes, mode: 0o600, mtime });
      const counted = async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          yield chunk;
        }
      };
      await pipeline(source, counted, entry);
      entries.push({ name, bytes, digest: `sha256:${hash.digest('hex')}` });
    };
    const text = (name: string, content: string) =>
      new Promise<void>((resolve, reject) =>
        pack.entry({ name, mode: 0o600, mtime }, content, (error) => (error ? reject(error) : resolve())),
      );
    const first = `${JSON.stringify(head)}\n`;
    await text(names.head, first);
    entries.push({ name: names.head, bytes: first.length, digest: digestOfText(first) });
    for (const { name, path, bytes } of staged) {
      const source = createReadStream(path, { start: 0, end: Math.max(0, bytes - 1) });
      if (bytes > 0) await add(name, bytes, source);
      else {
        source.destroy();
        await text(name, '');
        entries.push({ name, bytes, digest: digestOfText('') });
      }
    }
    for (const digest of blobs) {
      const bytes = await this.parts.blobs.size(digest);
      if (bytes === null) {
        // A missing blob cannot be backed up; the manifest lists it, and so does `aiot status`.
        if (referred.has(digest)) missing.push(digest);
        continue;
      }
      if (await this.isDamaged(digest)) {
        // Damaged blobs are left out too, because a copy would look intact.
        damaged.push(digest);
        continue;
      }
      const name = `blobs/sha256/${digest.slice('sha256:'.length)}`;
      if (bytes > 0) await add(name, bytes, this.parts.blobs.stream(digest));
      else {
        await text(name, '');
        entries.push({ name, bytes, digest: digestOfText('') });
      }
    }
    const manifest: BackupManifest = { format, entries, rows, missing, damaged };
    const last = `${JSON.stringify(manifest)}\n`;
    await text(names.manifest, last);
    await text(names.mac, `${macOf(last, keys)}\n`);
    pack.finalize();
    // The backup now contains everything in the folder of the migrated journal.
    await rm(join(this.parts.dataDir, migratedFolder), { recursive: true, force: true });
  }
}

function digestOfText(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

async function seal(folder: string, part: string, name: string, keys: Keys): Promise<void> {
  const entry = `${part}/${name}${sealedEnd}`;
  await sealFile(join(folder, 'open', name), join(folder, entry), entry, keys);
}

async function listed(folder: string, part: string): Promise<Staged[]> {
  const names = (await readdir(join(folder, part))).sort();
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, part, name);
      return { name: `${part}/${name}`, path, bytes: (await stat(path)).size };
    }),
  );
}
