import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { clientFor, contextFor } from '../../api/context.js';
import { resolveModel } from '../../api/reference.js';
import { digestPattern, sha256Hex } from '../../core/crypto.js';
import { AiotError, errorMaker, hasCode, unless } from '../../core/errors.js';
import { readBytes, readJson, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { type TrustRoot, trustRootSchema } from '../../formats/manifest/envelope.js';
import type { Manifest } from '../../formats/manifest/manifest.js';
import { packSigned, type Verified, verifySigned } from '../../model/bundle/signed-bundle.js';
import type { Bundle } from '../../model/bundle/types.js';
import { fetchModel } from '../../model/publish/pull.js';
import type { Settings } from './options.js';

const unfit = errorMaker('AIOT_MODEL_UNFIT', '', {
  next: 'Run `aiot model push --project DIR`, then `aiot model promote NAME@VERSION --to production`.',
});

/** A bundle signed by a key that the platform trusts, with every byte verified. */
export interface Signed {
  bundle: Bundle;
  known: KnownVersion;
  sequence: number;
  floor: number;
}

/** Device types that include loops. */
const ownTypes: readonly string[] = ['pi', 'linux', 'virtual'];

/** A reference to a model on a platform, with its part of the cache. */
export class PlatformModel {
  private readonly store: BundleStore;
  readonly refusals: Refusals;
  private client: RegistryClient | null = null;

  private constructor(
    readonly reference: string,
    readonly url: string,
    private readonly settings: Settings,
    /** The stored state of the reference; null = the platform was never queried. */
    private known: KnownReference | null,
  ) {
    this.store = bundleStore(settings.cache);
    this.refusals = refusalsOf(settings.cache);
  }

  /** Opens a reference without a request to the platform. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE */
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

  /** Versions that were in use before, newest first. */
  get history(): readonly KnownVersion[] {
    return this.known?.history ?? [];
  }

  /**
   * The version that the platform's reference points to now.
   * @throws AIOT_NOT_FOUND, and the errors of platform requests
   */
  async resolve(): Promise<KnownVersion> {
    const client = await this.connect();
    const { name, version } = await resolveModel(client, this.reference);
    const { digest } = await client.models.get(name, version);
    return { name, version, digest };
  }

  /**
   * The bundle of a version, from the cache or else from the platform, in which case it is cached.
   * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_TAMPERED, AIOT_UPDATE_INTERFACE, AIOT_MODEL_UNFIT, and the errors of
   *   platform requests
   */
  async fetch({ name, version }: KnownVersion): Promise<Signed> {
    const client = await this.connect();
    const trust = await this.trust(client);
    const card = await client.models.get(name, version);
    const cached = await this.store.get(card.digest, trust).catch(unlessUnsigned);
    // A version that was signed again has the same content but a different manifest, which lists the devices that may run it.
    if (cached?.manifest.version === version && cached.manifest.sequence === card.sequence) {
      return this.accepted(cached, trust, 'new');
    }
    const fetched = await fetchModel(client, { name, version }, trust);
    const signed = this.accepted(fetched, trust, 'new');
    await this.store.put(card.digest, packSigned(fetched.content, fetched.envelope));
    return signed;
  }

  /**
   * A version from the cache alone, which was accepted when it was last in use; null = not cached. @throws AIOT_SIGNATURE_INVALID
   */
  async cached({ digest }: KnownVersion): Promise<Signed | null> {
    const trust = this.settings.trust ?? this.known?.trust;
    if (!trust) return null;
    const verified = await this.store.get(digest, trust);
    return verified && this.accepted(verified, trust, 'known');
  }

  /** Records a version as in use. If the platform is unreachable at the next start, the loop starts with this version. */
  async remember({ known, floor }: Signed): Promise<void> {
    const before = this.known;
    if (!before) return;
    const history = withVersion(before.history, known);
    this.known = { ...before, floor: Math.max(before.floor, floor), history };
    await writeReference(this.settings.cache, this.known);
    await this.store.prune(await knownDigests(this.settings.cache), this.settings.clock.now());
  }

  /** Closes the connection. The next call reads the context and the token again. */
  async disconnect(): Promise<void> {
    const { client } = this;
    this.client = null;
    await client?.close();
  }

  private async connect(): Promise<RegistryClient> {
    this.client ??= await clientFor(this.settings.context);
    return this.client;
  }

  /** The configured trust root, or the platform's trust root. A root that is older than the newest one seen is rejected. */
  private async trust(client: RegistryClient): Promise<TrustRoot> {
    const told = this.settings.trust ?? (await client.trust.get());
    if (!told) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const { url, reference } = this;
    this.known ??= { spec: 'aiot-loop-model/1', url, reference, trust: told, floor: 0, history: [] };
    if (this.settings.trust || told.version >= this.known.trust.version) this.known.trust = told;
    return this.known.trust;
  }

  /**
   * The checks that a device makes before it accepts a version (docs/reference/protocol.md). A known version was accepted while it was
   * valid.
   */
  private accepted({ manifest, bundle }: Verified, _trust: TrustRoot, age: 'new' | 'known'): Signed {
    const { name, version, sequence, floor, artifacts } = manifest;
    const what = `${name}@${version}`;
    if (bundle.info.kind !== 'model') {
      throw unfit(`${what} is a model without a project, so its inputs are unknown`);
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
    throw unfit(`${what} has expired: its release ended at ${new Date(expires).toISOString()}`);
  }
  if (!deviceTypes.some((type) => ownTypes.includes(type))) {
    throw unfit(
      `${what} is released for ${deviceTypes.join(', ')}, but a loop has type ${ownTypes.join(' or ')}`,
    );
  }
  if (sequence < floor) {
    throw unfit(
      `${what} has sequence number ${sequence}, but a version used earlier on this machine requires at least ${floor}`,
    );
  }
}

/** Returns null for an invalid signature. After keys are replaced, the version is then downloaded again with its new signature. */
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

/** The version that a reference such as har@production pointed to at the last contact with its platform. */
const referenceSchema = z.object({
  spec: z.literal('aiot-loop-model/1'),
  /** https origin of the platform. */
  url: z.string(),
  reference: z.string(),
  /** Trusted keys: the platform's trust root as last seen. They are stored so that a start needs no request. */
  trust: trustRootSchema,
  /** Manifests with a sequence number below this one are no longer accepted. */
  floor: z.int(),
  /** Versions that were in use, newest first. */
  history: z.array(version),
});

type KnownReference = z.output<typeof referenceSchema>;

/** Number of versions retained for rollback. */
const kept = 4;

function folderOf(cache: string): string {
  return join(cache, 'loop', 'references');
}

function fileOf(cache: string, url: string, reference: string): string {
  return join(folderOf(cache), `${sha256Hex(`${url} ${reference}`).slice(0, 32)}.json`);
}

/** Reads the stored state of a reference; null = there is none, or it cannot be read. The platform is then queried again. */
async function readReference(cache: string, url: string, reference: string): Promise<KnownReference | null> {
  const value = await readJson(fileOf(cache, url, reference)).catch(() => null);
  const read = referenceSchema.safeParse(value);
  return read.success && read.data.url === url && read.data.reference === reference ? read.data : null;
}

/** @throws AIOT_FILE_NOT_WRITABLE */
async function writeReference(cache: string, known: KnownReference): Promise<void> {
  await writeJsonAtomic(fileOf(cache, known.url, known.reference), known);
}

/** The history with this version in front; each digest occurs once. */
function withVersion(history: readonly KnownVersion[], used: KnownVersion): KnownVersion[] {
  return [used, ...history.filter(({ digest }) => digest !== used.digest)].slice(0, kept);
}

/** Digests of all versions to which a reference may roll back. */
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

/** Signed bundles by the digest of their content. Several loops may share a folder: each write is a single rename. */
interface BundleStore {
  /** @throws AIOT_FILE_NOT_WRITABLE */
  put(digest: string, signed: Uint8Array): Promise<void>;
  /**
   * Returns the verified bundle. null = it is missing, or it was damaged and has been deleted.
   * @throws AIOT_SIGNATURE_INVALID (the trust root has changed), AIOT_UPDATE_INTERFACE (a newer version of aiot cached it)
   */
  get(digest: string, trust: TrustRoot): Promise<Verified | null>;
  /** Deletes bundles that are not listed and are older than a day, and partial writes of killed processes. */
  prune(keep: ReadonlySet<string>, now: number): Promise<void>;
}

const dayMs = 86_400_000;

/** Maximum age of temporary files, ms. No write takes this long, so older files are abandoned. */
const leftOverMs = 3_600_000;

/** The bundle cache in a cache folder. */
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
        if (error.code === 'AIOT_SIGNATURE_INVALID' || error.code === 'AIOT_UPDATE_INTERFACE') throw error;
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
  /** Time of the rejection, ms since 1970. */
  at: z.number(),
  /** Version of aiot that rejected the bundle. Other versions try the bundle again. */
  aiot: z.string(),
});

type Refusal = z.output<typeof refusalSchema>;

/** Bundles that failed on this machine with this version of aiot. They are not tried again, even after a restart. */
interface Refusals {
  has(digest: string): Promise<Refusal | null>;
  /** Adds a rejection. If the disk cannot be written, this process still remembers it. */
  add(digest: string, title: string, reason: string, now: number): Promise<void>;
  /** Digests, in the order in which this process found them. */
  list(): string[];
}

/** The rejections in a cache folder: one file per digest. They are valid only for the aiot version that wrote them. */
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
