import { AiotError, hasCode } from '../../core/index.js';
import type { Manifest, TrustRoot } from '../../formats/index.js';
import { type Bundle, fetchModel, packSigned, type Verified } from '../../model/index.js';
import { clientFor, contextFor, type RegistryClient, resolveModel } from '../../registry/index.js';
import {
  type KnownReference,
  type KnownVersion,
  knownDigests,
  readReference,
  withVersion,
  writeReference,
} from './cache/references.js';
import { type Refusals, refusalsOf } from './cache/refusals.js';
import { type BundleStore, bundleStore } from './cache/store.js';
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
