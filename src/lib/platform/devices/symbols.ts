import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { AiotError } from '../../core/errors.js';
import { packageRoot } from '../../core/folders.js';
import { withYoungHeapKept } from '../../core/process.js';
import type { CrashPlace } from '../../formats/crash.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';

interface Parts {
  store: Store;
  blobs: Pick<BlobStore, 'bytes' | 'size'>;
  events: Events;
  turns: Turns;
  /** ms since 1970 */
  now: () => number;
}

/** Largest ELF file, bytes. It is read into memory. */
const largestElf = 128 * 1024 * 1024;
/** Maximum number of cached backtraces. A cache helps because a fleet often crashes in the same place. */
const remembered = 500;
/** How long an idle thread keeps the ELF files that it has read, ms. */
const idleMs = 30_000;

/** ELF files of programs by their builds, and the functions and lines at addresses in them. */
export class CrashSymbols {
  private readonly known = new Map<string, CrashPlace[]>();
  private readonly thread = new SymbolThread();

  constructor(private readonly parts: Parts) {}

  /**
   * Registers an uploaded ELF file under its GNU build ID and its SHA-256.
   * @throws AIOT_NOT_FOUND (the blob), AIOT_IMAGE_MALFORMED, AIOT_REQUEST_INVALID (too large)
   */
  async add(digest: string, who: string): Promise<{ builds: string[] }> {
    const { store, blobs, events, turns, now } = this.parts;
    return turns.of('firmware')(async () => {
      const size = await blobs.size(digest);
      if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} has not been uploaded`);
      if (size > largestElf)
        throw new AiotError(
          'AIOT_REQUEST_INVALID',
          `expected an ELF file of at most 128 MB, got ${size} bytes`,
        );
      const { builds } = await this.thread.ask({ digest, bytes: await blobs.bytes(digest), addresses: [] });
      const added = now();
      await store.transaction().execute(async (transaction) => {
        for (const build of builds)
          await transaction
            .insertInto('crashSymbols')
            .values({ build, digest, added })
            .onConflict((conflict) => conflict.column('build').doUpdateSet({ digest, added }))
            .execute();
        await releaseLeases([digest], transaction);
        await events.record(
          { type: 'firmware.symbols', subject: builds[0] ?? digest, who, data: { digest, builds } },
          transaction,
        );
      });
      return { builds };
    });
  }

  /** Digest of the ELF file of a build, whose ID may be shortened; null if no build matches, or if several builds do. */
  async digestOf(build: string): Promise<string | null> {
    const rows = await this.parts.store
      .selectFrom('crashSymbols')
      .select('digest')
      .where('build', 'like', `${build}%`)
      .distinct()
      .limit(2)
      .execute();
    return rows.length === 1 ? (rows[0]?.digest ?? null) : null;
  }

  /**
   * A backtrace with functions, files and lines. The first address is that of the crash. The others are return addresses, which point after the call.
   * Null if the ELF file is unknown or damaged.
   */
  async name(build: string, backtrace: readonly CrashPlace[]): Promise<CrashPlace[] | null> {
    const digest = await this.digestOf(build);
    if (digest === null) return null;
    const addresses = backtrace.map(({ address }, index) =>
      address === undefined ? null : Number(address) - (index === 0 ? 0 : 1),
    );
    const key = `${digest} ${addresses.join()}`;
    const before = this.known.get(key);
    if (before) return before;
    try {
      const wanted = addresses.flatMap((address) => address ?? []);
      const has = this.thread.has(digest);
      const bytes = has ? null : await this.parts.blobs.bytes(digest);
      const { places } = await this.thread.ask({ digest, bytes, addresses: wanted });
      const named = places[Symbol.iterator]();
      const found = backtrace.map((place, index) =>
        addresses[index] === null ? place : { ...place, ...named.next().value },
      );
      this.known.set(key, found);
      if (this.known.size > remembered) this.known.delete(this.known.keys().next().value as string);
      return found;
    } catch {
      // A damaged or missing file must not prevent the report from being stored.
      return null;
    }
  }

  close(): void {
    this.thread.stop();
  }
}

interface Request {
  digest: string;
  /** The file's contents, unless the thread already has them. */
  bytes: Uint8Array | null;
  addresses: number[];
}

interface Reply {
  id: number;
  error?: string;
  builds: string[];
  places: Omit<CrashPlace, 'address'>[];
}

/** Keeps the last two files, because reading the tables of a large file takes a second. */
const program = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { createHash } = require('node:crypto');
  const files = new Map();
  parentPort.on('message', async ({ id, digest, bytes, addresses }) => {
    try {
      const { buildIdOf, readAnyElf, symbolize } = await import(workerData);
      if (!files.has(digest)) {
        files.set(digest, readAnyElf(bytes, 'the ELF file'));
        if (files.size > 2) files.delete(files.keys().next().value);
      }
      const elf = files.get(digest);
      const places = symbolize(elf, addresses).map(({ function: name, file, line }) => ({
        ...(name === null ? {} : { function: name.slice(0, 256) }),
        ...(file === null ? {} : { file: file.slice(-512) }),
        ...(line === null ? {} : { line }),
      }));
      const own = addresses.length > 0 ? [] : [buildIdOf(elf), createHash('sha256').update(elf.bytes).digest('hex')];
      parentPort.postMessage({ id, places, builds: own.filter(Boolean) });
    } catch (error) {
      parentPort.postMessage({ id, error: String(error && error.message), places: [], builds: [] });
    }
  });`;

/** Reads ELF files in a thread, so that the platform can serve requests meanwhile. The thread ends after being idle for a while. */
class SymbolThread {
  private worker: Worker | null = null;
  private readonly digests: string[] = [];
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private next = 1;
  private idle: NodeJS.Timeout | undefined;

  /** Whether the thread has this file. */
  has(digest: string): boolean {
    return this.digests.includes(digest);
  }

  /** @throws AIOT_IMAGE_MALFORMED */
  async ask(request: Request): Promise<Reply> {
    const id = this.next++;
    clearTimeout(this.idle);
    const worker = this.started();
    const reply = await new Promise<Reply>((resolve) => {
      this.waiting.set(id, resolve);
      worker.postMessage({ id, ...request });
      if (!this.has(request.digest) && this.digests.push(request.digest) > 2) this.digests.shift();
    });
    if (this.waiting.size === 0) this.idle = setTimeout(() => this.stop(), idleMs).unref();
    if (reply.error === undefined) return reply;
    this.digests.splice(
      0,
      this.digests.length,
      ...this.digests.filter((digest) => digest !== request.digest),
    );
    throw new AiotError('AIOT_IMAGE_MALFORMED', reply.error);
  }

  stop(): void {
    clearTimeout(this.idle);
    void this.worker?.terminate();
    this.worker = null;
    this.digests.length = 0;
  }

  private started(): Worker {
    if (this.worker) return this.worker;
    const worker = withYoungHeapKept(new Worker(program, { eval: true, workerData: formatsModule() }));
    worker.unref();
    worker.on('message', (reply: Reply) => {
      this.waiting.get(reply.id)?.(reply);
      this.waiting.delete(reply.id);
    });
    const end = (error: string) => {
      if (this.worker === worker) this.stop();
      for (const [id, settle] of this.waiting) settle({ id, error, builds: [], places: [] });
      this.waiting.clear();
    };
    worker.once('error', (error) => end(error.message));
    worker.once('exit', () => end('the thread that reads it has ended'));
    this.worker = worker;
    return worker;
  }
}

/** The module that reads ELF files: from the build, or from the sources if there is no build. */
function formatsModule(): string {
  const root = packageRoot();
  const built = join(root, 'dist', 'lib', 'formats', 'index.js');
  return pathToFileURL(existsSync(built) ? built : join(root, 'src', 'lib', 'formats', 'index.ts')).href;
}
