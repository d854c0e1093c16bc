import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import type { Clock } from '../../core/time.js';
import type { Envelope, TrustRoot } from '../../formats/manifest/envelope.js';
import {
  type HeldRoot,
  heldTrust,
  nextRoot,
  roleReplaced,
  rootIn,
  rootSchema,
  type Timestamp,
  trustOf,
  verifyTimestamp,
} from '../../formats/manifest/root.js';
import type { UpdateCheck } from '../update/types.js';

/** A source of roots and timestamps, which are not verified; null = not available. */
export interface TrustSource {
  root(version: number, signal: AbortSignal): Promise<unknown | null>;
  timestamp(signal: AbortSignal): Promise<unknown | null>;
}

/** The keys and the time that a device currently trusts. */
interface Trusted {
  trust: TrustRoot;
  /** Version of the root that last replaced all release keys. Sequence numbers signed under an earlier root are void. */
  epoch: number;
  /** The verified timestamp; null = the root has no timestamp key. */
  timestamp: Timestamp | null;
  /** ms since 1970; never behind the newest timestamp seen. */
  now: number;
}

export interface TrustKeeper {
  /**
   * Follows the chain of roots to the newest root, and checks the timestamp.
   * @throws the AIOT_TRUST_… and AIOT_TIMESTAMP_… codes, and the source's errors
   */
  refresh(signal: AbortSignal): Promise<Trusted>;
  /** Whether the trusted root has a timestamp key, so that there is a timestamp to check. */
  readonly stamped: boolean;
}

interface KeeperOptions {
  /** The trust root as provisioned. */
  trust: TrustRoot;
  /** The signed root that contains these keys, if any. */
  root?: Envelope | undefined;
  memory: TrustMemory;
  source: TrustSource;
  clock: Clock;
  unchecked: ReadonlySet<UpdateCheck>;
}

/**
 * Maximum number of roots processed in one refresh, so that an attacker cannot keep the device busy with endless roots.
 */
const mostRoots = 64;

/** Keeps a device's trust up to date according to TUF's rules: processes the roots in sequence, then the timestamp. */
export function createTrustKeeper(options: KeeperOptions): TrustKeeper {
  const { memory, source, clock, unchecked } = options;
  const checked = (check: UpdateCheck) => !unchecked.has(check);
  const first: HeldRoot = options.root ? rootIn(options.root) : heldTrust(options.trust);
  let state: TrustState = memory.read() ?? blankTrust;
  let tail: Promise<unknown> = Promise.resolve();
  /** Uses the newer of two roots, because a reprovisioned identity may contain a newer root than the stored state. */
  const held = (): HeldRoot => (state.root && state.root.version >= first.version ? state.root : first);
  const keep = async (next: TrustState) => {
    await memory.write(next);
    state = next;
  };

  async function walk(signal: AbortSignal): Promise<void> {
    for (let count = 0; count < mostRoots; count++) {
      const before = held();
      const offered = await source.root(before.version + 1, signal);
      if (offered === null) return;
      const rules = { signatures: checked('rootSignature'), version: checked('rootVersion') };
      const root = nextRoot(offered, before, rules);
      // With the check disabled, any root is accepted, so an old root would be processed repeatedly.
      if (root.version <= before.version) return;
      const fresh = roleReplaced(before.roles.timestamp, root.roles.timestamp);
      await keep({
        root,
        timestamp: fresh ? blankTrust.timestamp : state.timestamp,
        epoch: roleReplaced(before.roles.targets, root.roles.targets) ? root.version : state.epoch,
      });
    }
    throw new AiotError('AIOT_TRUST_VERSION', `expected at most ${mostRoots} new roots, got more`);
  }

  async function stamp(signal: AbortSignal): Promise<Timestamp | null> {
    const root = held();
    if (root.roles.timestamp === null) return null;
    const offered = await source.timestamp(signal);
    if (offered === null) throw new AiotError('AIOT_TIMESTAMP_INVALID', 'expected a timestamp, got none');
    const timestamp = verifyTimestamp(offered, root, checked('timestampSignature'));
    const { version, issued, expires } = timestamp;
    const seen = state.timestamp;
    if (version < seen.version && checked('timestampVersion')) {
      throw new AiotError(
        'AIOT_TIMESTAMP_ROLLBACK',
        `expected timestamp ${seen.version} or a later one, got ${version}`,
      );
    }
    const time = Math.max(clock.now(), seen.issued, issued);
    if (expires <= time && checked('timestampExpiry')) {
      throw new AiotError(
        'AIOT_TIMESTAMP_EXPIRED',
        `expected a timestamp that is valid at ${new Date(time).toISOString()}, got one that expired at ${new Date(expires).toISOString()}`,
      );
    }
    if (timestamp.root.version > root.version && checked('rootNewest')) {
      throw new AiotError(
        'AIOT_TRUST_ROOT_BEHIND',
        `the timestamp announces root ${timestamp.root.version}, but the newest root received is ${root.version}`,
      );
    }
    if (version > seen.version)
      await keep({ ...state, timestamp: { version, issued: Math.max(issued, seen.issued) } });
    return timestamp;
  }

  async function refresh(signal: AbortSignal): Promise<Trusted> {
    await walk(signal);
    const timestamp = await stamp(signal);
    const root = held();
    const now = Math.max(clock.now(), state.timestamp.issued);
    if (root.expires !== null && root.expires <= now && checked('rootExpiry')) {
      throw new AiotError(
        'AIOT_TRUST_ROOT_EXPIRED',
        `root ${root.version} expired at ${new Date(root.expires).toISOString()}`,
      );
    }
    return { trust: trustOf(root), epoch: state.epoch, timestamp, now };
  }

  return {
    get stamped() {
      return held().roles.timestamp !== null;
    },
    // Refreshes run one at a time, because models and configurations share the stored state.
    refresh(signal) {
      const done = tail.then(() => refresh(signal));
      tail = done.catch(() => {});
      return done;
    },
  };
}

/** The stored trust state of a device. */
const trustStateSchema = z.object({
  /** The newest verified root; null = only the provisioned trust exists. */
  root: rootSchema.nullable(),
  /** Version and time of issue (ms since 1970) of the newest timestamp seen. The device's clock is never behind that time. */
  timestamp: z.object({ version: z.int(), issued: z.int() }),
  /** Version of the root that last replaced all keys that sign releases. A new epoch restarts the sequence numbers. */
  epoch: z.int(),
});

type TrustState = z.output<typeof trustStateSchema>;

const blankTrust: TrustState = { root: null, timestamp: { version: 0, issued: 0 }, epoch: 0 };

/** Storage of the trust state across restarts. */
export interface TrustMemory {
  read(): TrustState | null;
  write(state: TrustState): Promise<void>;
}

export function trustInMemory(): TrustMemory {
  let kept: TrustState | null = null;
  return {
    read: () => kept,
    write: async (state) => {
      kept = state;
    },
  };
}

/**
 * Stores the trust state in a file. @throws AIOT_FILE_MALFORMED on reading, because a device that has lost its trust state must not
 * silently start afresh
 */
export function trustInFile(file: string): TrustMemory {
  return {
    read() {
      let text: string;
      try {
        text = readFileSync(file, 'utf8');
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return null;
        throw error;
      }
      try {
        return trustStateSchema.parse(JSON.parse(text));
      } catch (cause) {
        throw new AiotError('AIOT_FILE_MALFORMED', `${file} is not a device's trust record`, {
          cause,
        });
      }
    },
    write: (state) => writeFileAtomic(file, `${JSON.stringify(state)}\n`),
  };
}
