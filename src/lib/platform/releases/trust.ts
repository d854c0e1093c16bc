import type { PublicKey, TrustChain } from '../../api/contract/releases.js';
import { canonicalJson, generateKeyPair, keyIdOf, publicKeyOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import {
  type Envelope,
  signPayload,
  type TrustRoot,
  trustRootSchema,
} from '../../formats/manifest/envelope.js';
import {
  cosign,
  type HeldRoot,
  heldTrust,
  mostReleases,
  nextRoot,
  payloadDigest,
  type Root,
  rootIn,
  type Timestamp,
  timestampSchema,
  trustOf,
} from '../../formats/manifest/root.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';

/** The trust root: public keys that may sign releases. */
export interface Trust {
  get(): Promise<TrustRoot | null>;
  /**
   * Sets the trust root. Any first root is accepted; a later root must have a higher version. Once there is a chain of
   * roots, no root is accepted here.
   * @throws AIOT_TRUST_CONFLICT, AIOT_REQUEST_INVALID
   */
  put(trust: TrustRoot, who: string): Promise<TrustRoot>;
}

export function trustIn(store: Store, turns: Turns, events: Events): Trust {
  const inTurn = turns.of('trust');
  const get = async () => {
    const row = await store.selectFrom('meta').select('value').where('key', '=', 'trust').executeTakeFirst();
    return row ? trustRootSchema.parse(JSON.parse(row.value)) : null;
  };
  return {
    get,
    put: (trust, who) => inTurn(() => put(trust, who)),
  };

  async function put(trust: TrustRoot, who: string): Promise<TrustRoot> {
    checkUsable(trust);
    const value = canonicalJson(trust);
    const before = await get();
    if (before && canonicalJson(before) === value) return trust;
    const chained = store.selectFrom('meta').select('key').where('key', '=', `root:${before?.version}`);
    if (before && (await chained.executeTakeFirst())) {
      throw new AiotError('AIOT_TRUST_CONFLICT', 'expected a root signed by the root keys', {
        next: 'Create the next root with `aiot trust rotate --role ROLE --root-key FILE`.',
      });
    }
    if (before && trust.version <= before.version) {
      throw new AiotError(
        'AIOT_TRUST_CONFLICT',
        `expected a version above ${before.version}, got ${trust.version}`,
      );
    }
    const data = { version: trust.version, keys: trust.roles.release.keyids };
    await store.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('meta')
        .values({ key: 'trust', value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
      await events.record({ who, type: 'trust.set', subject: 'trust', data }, transaction);
    });
    return trust;
  }
}

/**
 * Rejects a root that no signatures can satisfy: it would lock everyone out, and its version would prevent a
 * replacement.
 */
function checkUsable({ keys, roles }: TrustRoot): void {
  const { keyids, threshold } = roles.release;
  const usable = new Set(keyids.filter((id) => isKey(id, keys[id]?.publicKey)));
  if (usable.size >= threshold) return;
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    `expected a trust root with at least ${plural(threshold, 'release key')}, got ${usable.size}`,
  );
}

function isKey(id: string, publicKey: string | undefined): boolean {
  try {
    return publicKey !== undefined && keyIdOf(publicKey) === id;
  } catch {
    return false;
  }
}

/** Validity of a timestamp, and the age at which it is re-signed even without changes, ms. */
const validMs = 24 * 3600_000;

const freshMs = 3600_000;

/** Minimum remaining validity of a root, ms. */
const leastMs = 60_000;

interface RootParts {
  store: Store;
  turns: Turns;
  events: Events;
  trust: Trust;
  /** ms since 1970 */
  now: () => number;
}

/** The chain of roots, and the platform's own signatures: timestamps, made with keys that have no other role. */
export class Roots {
  constructor(private readonly parts: RootParts) {}

  /** @returns null if this version does not exist */
  async get(version: number): Promise<Envelope | null> {
    return this.read<Envelope>(`root:${version}`);
  }

  /** The newest root, its envelope, and the keys that can sign timestamps, newest last. */
  async chain(): Promise<TrustChain> {
    const trust = await this.parts.trust.get();
    const root = trust && (await this.get(trust.version));
    const timestampKeys = (await this.keys()).map(publicOf);
    return { version: trust?.version ?? null, root, timestampKeys };
  }

  /** The root from which devices' trust is derived; null = none. */
  async newest(): Promise<Envelope | null> {
    return (await this.chain()).root;
  }

  /**
   * Stores the next root. Sending the same root again returns the first result.
   * @throws AIOT_TRUST_MISSING, AIOT_TRUST_SIGNATURES, AIOT_TRUST_VERSION, AIOT_TRUST_ROOT_EXPIRED,
   * AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID
   */
  put(envelope: Envelope, who: string): Promise<TrustChain> {
    const { store, turns, events, now } = this.parts;
    return turns.of('trust')(async () => {
      const { trust, root: before } = await this.known();
      if (before?.payload === envelope.payload) return this.chain();
      const root = nextRoot(envelope, before ? rootIn(before) : trust);
      if (root.expires < now() + leastMs) {
        throw new AiotError(
          'AIOT_TRUST_ROOT_EXPIRED',
          `root ${root.version} expired at ${new Date(root.expires).toISOString()}`,
        );
      }
      await this.requireOwnKeys(root);
      const { version, roles } = root;
      const data = { version, root: roles.root.keyids, keys: roles.targets.keyids, expires: root.expires };
      await store.transaction().execute(async (transaction) => {
        await write(transaction, `root:${version}`, envelope);
        await write(transaction, 'trust', trustOf(root));
        await events.record({ who, type: 'trust.root', subject: 'trust', data }, transaction);
      });
      return this.chain();
    });
  }

  /** Creates another timestamp key, which is used once a root lists it. */
  newKey(who: string): Promise<PublicKey> {
    const { store, turns, events } = this.parts;
    return turns.of('trust')(async () => {
      const { privatePem } = generateKeyPair();
      const made = publicOf(privatePem);
      const keys = [...(await this.keys()), privatePem];
      await store.transaction().execute(async (transaction) => {
        await write(transaction, 'timestampKeys', keys);
        await events.record({ who, type: 'trust.key', subject: made.keyid }, transaction);
      });
      return made;
    });
  }

  /** The newest timestamp, re-signed if something has changed or it is an hour old; null = no root has a key for timestamps. */
  async timestamp(): Promise<Envelope | null> {
    const root = await this.newest();
    if (root === null) return null;
    const held = rootIn(root);
    const newest = await newestOf(this.parts.store);
    const kept = await this.read<Envelope>('timestamp');
    if (kept && this.isFresh(kept, held, newest)) return kept;
    return this.parts.turns.of('timestamp')(() => this.sign(root, held));
  }

  private async sign(root: Envelope, held: Root): Promise<Envelope | null> {
    const { store, now } = this.parts;
    const newest = await newestOf(store);
    const kept = await this.read<Envelope>('timestamp');
    if (kept && this.isFresh(kept, held, newest)) return kept;
    const { keyids } = held.roles.timestamp;
    const [first, ...others] = (await this.keys()).filter((key) => keyids.includes(publicOf(key).keyid));
    if (first === undefined) return null;
    const before = kept && stampIn(kept);
    // The clock may have been set back; a newer timestamp must still have a later time.
    const issued = Math.max(now(), before?.issued ?? 0);
    const timestamp: Timestamp = {
      spec: 'aiot-timestamp/1',
      version: (before?.version ?? 0) + 1,
      ...{ issued, expires: issued + validMs, newest },
      root: { version: held.version, digest: payloadDigest(root) },
      releases: await newestReleases(store),
    };
    const signed = others.reduce(cosign, signPayload(timestampSchema.parse(timestamp), first));
    await write(store, 'timestamp', signed);
    return signed;
  }

  private isFresh(kept: Envelope, held: HeldRoot, newest: Newest): boolean {
    const { root, issued, ...stamp } = stampIn(kept);
    const signers = kept.signatures.filter(({ keyid }) => held.roles.timestamp?.keyids.includes(keyid));
    return (
      root.version === held.version &&
      signers.length >= (held.roles.timestamp?.threshold ?? 1) &&
      canonicalJson(stamp.newest) === canonicalJson(newest) &&
      this.parts.now() < issued + freshMs
    );
  }

  /** Requires that this platform has enough of the root's timestamp keys, because devices would otherwise reject its timestamps. */
  private async requireOwnKeys({ roles: { timestamp } }: Root): Promise<void> {
    const own = (await this.keys()).filter((key) => timestamp.keyids.includes(publicOf(key).keyid));
    if (own.length >= timestamp.threshold) return;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `expected ${plural(timestamp.threshold, 'timestamp key')} on this platform, got ${own.length}`,
      {
        next: 'Create a timestamp key on this platform with `aiot trust rotate --role timestamp --root-key FILE`.',
      },
    );
  }

  private async known(): Promise<{ trust: HeldRoot; root: Envelope | null }> {
    const trust = await this.parts.trust.get();
    if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    return { trust: heldTrust(trust), root: await this.get(trust.version) };
  }

  /** Private keys for timestamps, PEM. */
  private async keys(): Promise<string[]> {
    return (await this.read<string[]>('timestampKeys')) ?? [];
  }

  private async read<T>(key: string): Promise<T | null> {
    const { store } = this.parts;
    const row = await store.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst();
    return row ? (JSON.parse(row.value) as T) : null;
  }
}

function publicOf(privatePem: string): PublicKey {
  const publicKey = publicKeyOf(privatePem);
  return { keyid: keyIdOf(publicKey), publicKey };
}

function stampIn({ payload }: Envelope): Timestamp {
  return timestampSchema.parse(JSON.parse(Buffer.from(payload, 'base64').toString('utf8')));
}

async function write(store: Store, key: string, content: unknown): Promise<void> {
  const value = canonicalJson(content);
  await store
    .insertInto('meta')
    .values({ key, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute();
}

type Newest = Timestamp['newest'];

/** Manifest tables, by kind. */
const tables = { model: 'manifests', firmware: 'firmware', config: 'configs' } as const;

const kinds = ['model', 'firmware', 'config'] as const;

/** Typed as one of the three tables, because all have the same columns. */
const from = (store: Store, kind: (typeof kinds)[number]) => store.selectFrom(tables[kind] as 'firmware');

/** The highest sequence number for each kind; 0 = none. */
async function newestOf(store: Store): Promise<Newest> {
  const newest: Newest = { model: 0, firmware: 0, config: 0 };
  for (const kind of kinds) {
    const all = from(store, kind).select(({ fn }) => fn.max('sequence').as('sequence'));
    newest[kind] = (await all.executeTakeFirstOrThrow()).sequence ?? 0;
  }
  return newest;
}

/** The newest manifest for each name or, if there are too many names, for the most recently released names. */
async function newestReleases(store: Store): Promise<Timestamp['releases']> {
  const releases: Timestamp['releases'] = [];
  for (const kind of kinds) {
    const names = await from(store, kind)
      .select(['name', ({ fn }) => fn.max('sequence').as('sequence')])
      .groupBy('name')
      .orderBy('sequence', 'desc')
      .limit(Math.floor(mostReleases / kinds.length))
      .execute();
    const sequences = names.map(({ sequence }) => sequence);
    if (sequences.length === 0) continue;
    const rows = from(store, kind)
      .select(['name', 'sequence', 'envelope'])
      .where('sequence', 'in', sequences);
    for (const { name, sequence, envelope } of await rows.orderBy('sequence').execute())
      releases.push({ kind, name, sequence, digest: payloadDigest(JSON.parse(envelope) as Envelope) });
  }
  return releases;
}
