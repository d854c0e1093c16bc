import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import * as z from 'zod';
import { contract } from '../../../api/contract/contract.js';
import { catalogue, type ErrorCode } from '../../../core/catalogue.js';
import { digestOf } from '../../../core/crypto.js';
import { AiotError } from '../../../core/errors.js';
import { plural } from '../../../core/figures.js';
import { tokenOf } from '../auth.js';
import { type HttpFigures, metricsOf } from '../metrics.js';
import type { ApiParts, Routes } from '../parts.js';
import { reachFor, serve } from '../serve.js';

/** Routes outside /api/v1: /healthz, /readyz, /metrics (Prometheus's text format 0.0.4) and /openapi.json. */
export const healthRoutes =
  (http: HttpFigures): Routes =>
  (parts) =>
  async (app) => {
    app.get('/healthz', { config: { access: 'everybody' }, schema: { hide: true } }, async () => ({
      status: 'ok',
    }));
    app.get(
      '/readyz',
      { config: { access: 'everybody' }, schema: { hide: true } },
      async (request, reply) => {
        const { status, checks } = await readinessOf(parts);
        reply.status(status === 'not ready' ? 503 : 200);
        // The individual checks are shown only to clients with a valid token.
        return (await parts.tokens.identify(tokenOf(request))) ? { status, checks } : { status };
      },
    );
    app.get('/openapi.json', { config: { access: 'everybody' }, schema: { hide: true } }, async () =>
      app.swagger(),
    );
    app.get(
      '/errors/:code',
      { config: { access: 'everybody' }, schema: { hide: true, params: z.object({ code: z.string() }) } },
      async ({ params: { code } }) => {
        const known = Object.hasOwn(catalogue, code) ? catalogue[code as ErrorCode] : undefined;
        if (known === undefined) throw new AiotError('AIOT_NOT_FOUND', `unknown error code ${code}`);
        return { code, about: known.about, next: known.next };
      },
    );
    app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/plain; version=0.0.4').send((await metricsOf(parts, http, Date.now())).text()),
    );
  };

/** Free space below which no more data is accepted, bytes. */
const leastFree = 16 * 1024 ** 2;

/** Time limit of one check, ms. */
const patience = 3000;

interface Readiness {
  /** `degraded`: requests are served and devices can connect, but a downstream part has stopped. */
  status: 'ready' | 'degraded' | 'not ready';
  /** Check → its problem; null = none. */
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
 * Whether requests can be served now. Each part is tested without changing it. If a part in `needed` fails, no requests should be sent to
 * this process. Parts in `following` are only reported, because while Kafka, for example, is unavailable, another process would fare no
 * better.
 */
async function readinessOf(parts: Parts): Promise<Readiness> {
  const [needed, following] = await Promise.all([lookAt(neededOf(parts)), lookAt(followingOf(parts))]);
  const well = (checks: Readiness['checks']) => Object.values(checks).every((trouble) => trouble === null);
  const status = !well(needed) ? 'not ready' : well(following) ? 'ready' : 'degraded';
  return { status, checks: { ...needed, ...following } };
}

function neededOf(parts: Parts): Looks {
  return {
    async database() {
      await parts.store.selectFrom('meta').select('key').limit(1).execute();
      return (await parts.engine.trouble()) === null ? null : 'it cannot be used';
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
      return told.length === 0 ? null : `${told.join(', ')} (see aiot status)`;
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
      return failing.length === 0 ? null : `failing: ${failing.map(({ id }) => id).join(', ')}`;
    },
    ...(relay
      ? {
          async relay() {
            const { state, error, endpoint } = relay.figures;
            return state === 'disconnected'
              ? `${endpoint} is unreachable: ${error ?? 'connection lost'}`
              : null;
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
    timer = setTimeout(() => resolve(`no response within ${patience} ms`), patience);
  });
  try {
    return await Promise.race([look(), late]);
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'it failed';
  } finally {
    clearTimeout(timer);
  }
}

export const statusRoutes: Routes = (parts) => async (app) =>
  serve(app, contract.status, {
    get: async ({ user }) => {
      const { version, started, urls, condition, devices, models, datasets, rollouts } = parts;
      const reach = reachFor(user);
      const online = devices.onlineNames().filter((name) => reach?.has(name) !== false);
      const found = await condition();
      // Damage names the devices and streams that it concerns.
      const wholeFleet = ['damage', 'blobs', 'devices', 'approval'];
      const warnings = found.warnings.filter(({ about }) => !wholeFleet.includes(about));
      return {
        version,
        started,
        urls: urls(),
        ...(reach === null ? found : { ...found, damage: [], warnings }),
        replicas: await parts.replicas.list(),
        objectives: reach === null ? await parts.objectives.list() : [],
        ...(parts.relay ? { relay: await parts.relay.status() } : {}),
        counts: {
          devices: reach === null ? devices.count() : devices.select(reach.text).length,
          online: online.length,
          ...(await models.counts()),
          datasets: await datasets.count(),
          rollouts: reach === null ? await rollouts.count() : await rollouts.countWithin(reach),
        },
      };
    },
  });

export const damageRoutes: Routes =
  ({ damages }) =>
  async (app) =>
    serve(app, contract.damage, {
      list: ({ query }) => damages.list(query),
      acknowledge: ({ body, who }) => damages.acknowledge(body.ids, who),
    });

export const backupRoutes: Routes =
  ({ backups, events }) =>
  async (app) =>
    serve(app, contract.backups, {
      create: async ({ body, who }, reply) => {
        const { pack, head } = await backups.create(body.passphrase);
        await events.record({
          who,
          type: 'backup.create',
          subject: 'platform',
          data: { created: head.created },
        });
        return reply.type('application/x-tar').send(pack);
      },
    });
