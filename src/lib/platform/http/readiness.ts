import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { digestOf, plural } from '../../core/index.js';
import type { ApiParts } from './parts.js';

/** Space below which nothing more is taken on, bytes. */
const leastFree = 16 * 1024 ** 2;

/** How long one look may take, ms. */
const patience = 3000;

export interface Readiness {
  /** `degraded`: requests are served and devices can connect, and something behind that does not go on. */
  status: 'ready' | 'degraded' | 'not ready';
  /** What was looked at → what is wrong with it; null = nothing. */
  checks: Record<string, string | null>;
}

type Parts = Pick<
  ApiParts,
  | 'blobs'
  | 'brokerTrouble'
  | 'condition'
  | 'dataDir'
  | 'engine'
  | 'health'
  | 'orphans'
  | 'relay'
  | 'store'
  | 'workers'
>;
type Looks = Record<string, () => Promise<string | null>>;

/**
 * Whether requests can be served just now: each part is tried, none is changed. Without one of `needed` nothing should be sent
 * here; what follows behind (`following`) is told too, but another process would do no better while Kafka is away.
 */
export async function readinessOf(parts: Parts): Promise<Readiness> {
  const [needed, following] = await Promise.all([lookAt(neededOf(parts)), lookAt(followingOf(parts))]);
  const well = (checks: Readiness['checks']) => Object.values(checks).every((trouble) => trouble === null);
  const status = !well(needed) ? 'not ready' : well(following) ? 'ready' : 'degraded';
  return { status, checks: { ...needed, ...following } };
}

function neededOf(parts: Parts): Looks {
  return {
    async database() {
      await parts.store.selectFrom('meta').select('key').limit(1).execute();
      return (await parts.condition()).ready ? null : 'it cannot be used';
    },
    async disk() {
      await access(parts.dataDir, constants.W_OK);
      const { bavail, bsize } = await statfs(parts.dataDir);
      return bavail * bsize >= leastFree ? null : 'it is full';
    },
    async blobs() {
      await parts.blobs.size(digestOf(''));
      return null;
    },
    broker: async () => parts.brokerTrouble(),
  };
}

function followingOf({ engine, health, orphans, relay, store, workers }: Parts): Looks {
  return {
    async content() {
      const [missing, damaged] = [orphans.missing.length, health.damaged.length];
      const told = [
        ...(missing === 0 ? [] : [`${plural(missing, 'blob')} missing`]),
        ...(damaged === 0 ? [] : [`${plural(damaged, 'blob')} damaged`]),
      ];
      return told.length === 0 ? null : `${told.join(', ')} (aiot status names them)`;
    },
    async leader() {
      const lost = engine.leader.roles().filter(({ error }) => error !== null);
      return lost.length === 0 ? null : lost.map(({ role, error }) => `${role}: ${error}`).join(', ');
    },
    async workers() {
      const failed = [...workers.troubles()].map(([name, code]) => `${name} failed: ${code}`);
      return failed.length === 0 ? null : failed.join(', ');
    },
    async webhooks() {
      const failing = await store
        .selectFrom('webhooks')
        .select('id')
        .where('enabled', '=', 1)
        .where('failures', '>', 0)
        .orderBy('id')
        .execute();
      return failing.length === 0 ? null : `no success with ${failing.map(({ id }) => id).join(', ')}`;
    },
    ...(relay
      ? {
          async relay() {
            const { state, error, endpoint } = relay.figures;
            return state === 'disconnected' ? `${endpoint} is away: ${error ?? 'connection lost'}` : null;
          },
        }
      : {}),
  };
}

async function lookAt(looks: Looks): Promise<Readiness['checks']> {
  const entries = Object.entries(looks).map(async ([name, look]) => [name, await outcome(look)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

async function outcome(look: () => Promise<string | null>): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer in ${patience} ms`), patience);
  });
  try {
    return await Promise.race([look(), late]);
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'it failed';
  } finally {
    clearTimeout(timer);
  }
}
