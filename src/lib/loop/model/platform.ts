import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { digestPattern, sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode, unless } from '../../core/errors.js';
import { readBytes, readJson, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { type TrustRoot, trustRootSchema } from '../../formats/manifest/envelope.js';
import type { Manifest } from '../../formats/manifest/manifest.js';
import { packSigned, type Verified, verifySigned } from '../../model/bundle/signed-bundle.js';
import type { Bundle } from '../../model/bundle/types.js';
import { fetchModel } from '../../model/publish/pull.js';
import type { RegistryClient } from '../../registry/client.js';
import { clientFor, contextFor } from '../../registry/context.js';
import { resolveModel } from '../../registry/reference.js';
import type { Settings } from './options.js';

/** A bundle that was signed by whom the platform trusts, every byte of it checked. */
export interface Signed {
  bundle: Bundle;
  known: KnownVersion;
  sequence: number;
  floor: number;
}

/** Types of device that a loop is. */
const ownTypes: readonly string[] = ['pi', 'linux', 'virtual'];

/** One reference of one platform, with its part of the cache. */
export class PlatformModel {
  private readonly store: BundleStore;
  readonly refusals: Refusals;
  private client: RegistryClient | null = null;

  private constructor(
    readonly reference: string,
    readonly url: string,
    private readonly settings: Settings,
    /** What is remembered of it; null = never asked. */
    private known: KnownReference | null,
  ) {
    this.store = bundleStore(settings.cache);
    this.refusals = refusalsOf(settings.cache);
  }

  /** Asks nobody yet. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE */
  static async open(reference: string, settings: Settings): Promise<PlatformModel> {
    const { url } = await contextFor(settings.context);
    const { origin } = new URL(url);
    return new PlatformModel(
      reference,
      origin,
      settings,
      await readReference(settings.cache, origin, reference),
    );
  }

  /** Versions that were in use before, the newest first. */
  get history(): readonly KnownVersion[] {
    return this.known?.history ?? [];
  }

  /**
   * What the reference stands for now, by the platform.
   * @throws AIOT_NOT_FOUND, and what asking a platform throws
   */
  async resolve(): Promise<KnownVersion> {
    const client = await this.connect();
    const { name, version } = await resolveModel(client, this.reference);
    const { digest } = await client.models.get(name, version);
    return { name, version, digest };
  }

  /**
   * The bundle of a version, from the cache or else the platform; then it is in the cache.
   * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED, AIOT_MODEL_UNFIT, and what asking a platform throws
   */
  async fetch({ name, version }: KnownVersion): Promise<Signed> {
    const client = await this.connect();
    const trust = await this.trust(client);
    const card = await client.models.get(name, version);
    const cached = await this.store.get(card.digest, trust).catch(unlessUnsigned);
    // A version signed anew has the same content, and another manifest: who may run it is in that.
    if (cached?.manifest.version === version && cached.manifest.sequence === card.sequence) {
      return this.accepted(cached, trust, 'new');
    }
    const fetched = await fetchModel(client, { name, version }, trust);
    const signed = this.accepted(fetched, trust, 'new');
    await this.store.put(card.digest, packSigned(fetched.content, fetched.envelope));
    return signed;
  }

  /** From the cache alone, as it was when it was last in use; null = it is not there. @throws AIOT_SIGNATURE_INVALID */
  async cached({ digest }: KnownVersion): Promise<Signed | null> {
    const trust = this.settings.trust ?? this.known?.trust;
    if (!trust) return null;
    const verified = await this.store.get(digest, trust);
    return verified && this.accepted(verified, trust, 'known');
  }

  /** It is in use now: the next start without a platform begins with it. */
  async remember({ known, floor }: Signed): Promise<void> {
    const before = this.known;
    if (!before) return;
    const history = withVersion(before.history, known);
    this.known = { ...before, floor: Math.max(before.floor, floor), history };
    await writeReference(this.settings.cache, this.known);
    await this.store.prune(await knownDigests(this.settings.cache), this.settings.clock.now());
  }

  /** Lets go of the connection: the next call reads context and token anew. */
  async disconnect(): Promise<void> {
    const { client } = this;
    this.client = null;
    await client?.close();
  }

  private async connect(): Promise<RegistryClient> {
    this.client ??= await clientFor(this.settings.context);
    return this.client;
  }

  /** As it was told, or the platform's; never an older one than was seen before. */
  private async trust(client: RegistryClient): Promise<TrustRoot> {
    const told = this.settings.trust ?? (await client.trust.get());
    if (!told) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const { url, reference } = this;
    this.known ??= { spec: 'aiot-loop-model/1', url, reference, trust: told, floor: 0, history: [] };
    if (this.settings.trust || told.version >= this.known.trust.version) this.known.trust = told;
    return this.known.trust;
  }

  /** What a device would look at before it takes a version (docs/protocol.md): a known one was taken when it was in time. */
  private accepted({ manifest, bundle }: Verified, _trust: TrustRoot, age: 'new' | 'known'): Signed {
    const { name, version, sequence, floor, artifacts } = manifest;
    const what = `${name}@${version}`;
    if (bundle.info.kind !== 'model') {
      throw unfit(`${what} is a network alone: nobody said what goes into it`);
    }
    if (age === 'new') requireReleased(manifest, this.known?.floor ?? 0, this.settings.clock.now());
    const digest = artifacts[0]?.digest ?? '';
    return { bundle: bundle as Bundle, known: { name, version, digest }, sequence, floor };
  }
}

function requireReleased(manifest: Manifest, floor: number, now: number): void {
  const { name, version, sequence, expires, deviceTypes } = manifest;
  const what = `${name}@${version}`;
  if (expires !== null && expires <= now) {
    throw unfit(`${what} may not be used any more: its release ended ${new Date(expires).toISOString()}`);
  }
  if (!deviceTypes.some((type) => ownTypes.includes(type))) {
    throw unfit(`${what} is released for ${deviceTypes.join(', ')}, and a loop is ${ownTypes.join(' or ')}`);
  }
  if (sequence < floor) {
    throw unfit(`${what} has sequence ${sequence}, and one that was in use here allows none below ${floor}`);
  }
}

function unfit(message: string): AiotError {
  return new AiotError('AIOT_MODEL_UNFIT', message, {
    next: 'Push it anew: aiot model push --project DIR; aiot model promote NAME@VERSION --to production',
  });
}

/** Keys were exchanged: it has to be fetched as it is signed now. */
function unlessUnsigned(error: unknown): null {
  if (hasCode(error, 'AIOT_SIGNATURE_INVALID')) return null;
  throw error;
}

const version = z.object({
  name: z.string(),
  version: z.int(),
  digest: z.string().regex(digestPattern),
});

export type KnownVersion = z.output<typeof version>;

/** What a reference such as har@production stood for when its platform was last asked. */
const referenceSchema = z.object({
  spec: z.literal('aiot-loop-model/1'),
  /** https origin of the platform. */
  url: z.string(),
  reference: z.string(),
  /** Whose signatures count: the platform's trust root as it was, so that nobody need be asked. */
  trust: trustRootSchema,
  /** No manifest below this sequence is taken any more. */
  floor: z.int(),
  /** What was put in use, the newest first. */
  history: z.array(version),
});

type KnownReference = z.output<typeof referenceSchema>;

/** Versions to go back to. */
const kept = 4;

function folderOf(cache: string): string {
  return join(cache, 'loop', 'references');
}

function fileOf(cache: string, url: string, reference: string): string {
  return join(folderOf(cache), `${sha256Hex(`${url} ${reference}`).slice(0, 32)}.json`);
}

/** null = never asked, or what is there cannot be read: it is asked anew then. */
async function readReference(cache: string, url: string, reference: string): Promise<KnownReference | null> {
  const value = await readJson(fileOf(cache, url, reference)).catch(() => null);
  const read = referenceSchema.safeParse(value);
  return read.success && read.data.url === url && read.data.reference === reference ? read.data : null;
}

/** @throws AIOT_FILE_NOT_WRITABLE */
async function writeReference(cache: string, known: KnownReference): Promise<void> {
  await writeJsonAtomic(fileOf(cache, known.url, known.reference), known);
}

/** With this version in front; each digest is there once. */
function withVersion(history: readonly KnownVersion[], used: KnownVersion): KnownVersion[] {
  return [used, ...history.filter(({ digest }) => digest !== used.digest)].slice(0, kept);
}

/** Digests that some reference may go back to. */
async function knownDigests(cache: string): Promise<Set<string>> {
  const digests = new Set<string>();
  for (const name of await readdir(folderOf(cache)).catch(() => [])) {
    if (!name.endsWith('.json')) continue;
    const value = await readJson(join(folderOf(cache), name)).catch((error: unknown) => {
      if (hasCode(error, 'AIOT_FILE_MALFORMED') || hasCode(error, 'AIOT_FILE_NOT_FOUND')) return null;
      throw error;
    });
    const read = referenceSchema.safeParse(value);
    for (const { digest } of read.success ? read.data.history : []) digests.add(digest);
  }
  return digests;
}

/** Signed bundles by the digest of their content. Several loops may share a folder: each write is one rename. */
interface BundleStore {
  /** @throws AIOT_FILE_NOT_WRITABLE */
  put(digest: string, signed: Uint8Array): Promise<void>;
  /**
   * Every byte is verified anew. null = it is not there, or it was damaged and is thrown away.
   * @throws AIOT_SIGNATURE_INVALID (the trust root is another by now)
   */
  get(digest: string, trust: TrustRoot): Promise<Verified | null>;
  /** Throws away bundles that are not named here and older than a day, and what a killed process left half written. */
  prune(keep: ReadonlySet<string>, now: number): Promise<void>;
}

const dayMs = 86_400_000;

/** No write takes so long: a temp file of this age has nobody any more. */
const leftOverMs = 3_600_000;

/** The one in a cache folder. */
function bundleStore(cache: string): BundleStore {
  const folder = join(cache, 'loop', 'bundles');
  const fileOf = (digest: string) => join(folder, `${hexOf(digest)}.aiot`);
  return {
    put: (digest, signed) => writeFileAtomic(fileOf(digest), signed),
    async get(digest, trust) {
      const file = fileOf(digest);
      const bytes = await unless('AIOT_FILE_NOT_FOUND', readBytes(file));
      if (!bytes) return null;
      try {
        const verified = verifySigned(bytes, trust, file);
        if (verified.manifest.artifacts[0]?.digest === digest) return verified;
      } catch (error) {
        if (!(error instanceof AiotError)) throw error;
        if (error.code === 'AIOT_SIGNATURE_INVALID') throw error;
      }
      await rm(file, { force: true });
      return null;
    },
    async prune(keep, now) {
      const kept = new Set([...keep].map((digest) => `${hexOf(digest)}.aiot`));
      for (const name of await readdir(folder).catch(() => [])) {
        if (kept.has(name)) continue;
        const file = join(folder, name);
        const age = now - ((await stat(file).catch(() => null))?.mtimeMs ?? now);
        if (age > (name.endsWith('.tmp') ? leftOverMs : dayMs)) await rm(file, { force: true });
      }
    },
  };
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

const refusalSchema = z.object({
  digest: z.string(),
  title: z.string(),
  reason: z.string(),
  /** ms since 1970 */
  at: z.number(),
  /** Another aiot may run it rightly: it is tried again by that one. */
  aiot: z.string(),
});

type Refusal = z.output<typeof refusalSchema>;

/** Contents that were tried on this machine and found wrong: they are not tried again after a restart either. */
interface Refusals {
  has(digest: string): Promise<Refusal | null>;
  /** Kept for this process even where the disk takes nothing. */
  add(digest: string, title: string, reason: string, now: number): Promise<void>;
  /** Digests, in the order they were found in by this process. */
  list(): string[];
}

/** Those of a cache folder: one file a digest, which counts for as long as aiot is the same. */
function refusalsOf(cache: string): Refusals {
  const own = new Map<string, Refusal>();
  const fileOf = (digest: string) =>
    join(cache, 'loop', 'refused', `${digest.slice(digest.indexOf(':') + 1)}.json`);
  return {
    async has(digest) {
      const known = own.get(digest);
      if (known) return known;
      const read = refusalSchema.safeParse(await readJson(fileOf(digest)).catch(() => null));
      if (!read.success || read.data.digest !== digest || read.data.aiot !== aiotVersion()) return null;
      own.set(digest, read.data);
      return read.data;
    },
    async add(digest, title, reason, at) {
      const refusal = { digest, title, reason, at, aiot: aiotVersion() };
      own.set(digest, refusal);
      await writeJsonAtomic(fileOf(digest), refusal);
    },
    list: () => [...own.keys()],
  };
}
