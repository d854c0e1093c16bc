import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type * as z from 'zod';
import { contract } from '../../../api/contract/contract.js';
import {
  type LogLine,
  type LogNews,
  remoteRecordingSchema,
  remoteSessionListSchema,
  remoteSessionSchema,
} from '../../../api/contract/devices.js';
import type { ProvisionReply } from '../../../api/fields.js';
import { AiotError, hasCode } from '../../../core/errors.js';
import { type Reach, requireInReach } from '../../access/reach.js';
import type { Enrolled } from '../../devices/enrolment.js';
import { forwardedHeader } from '../../devices/remote-peers.js';
import { deviceSeries } from '../../devices/series.js';
import {
  deviceHistory,
  deviceMessages,
  type LiveHub,
  lineOf,
  lineTest,
  searchLogs,
} from '../../devices/talk.js';
import type { Entry } from '../../journal/entry.js';
import { checkRevision, giveRevision } from '../etags.js';
import { idempotencyKeyOf } from '../idempotency.js';
import type { Routes } from '../parts.js';
import { reachFor, serve } from '../serve.js';

export const deviceRoutes: Routes = (parts) => async (app) => {
  const { desired, devices, fleet, simulated } = parts;
  serve(app, contract.devices, {
    list: ({ query, user }) => fleet.list(query, reachFor(user)),
    change: async ({ body: { names, change, dryRun }, who, user }) => {
      requireInReach(reachFor(user), names);
      return { devices: await fleet.change(names, change, dryRun, who, undefined, reachFor(user)) };
    },
    simulate: ({ body, who }) => simulated.enlist(body, who),
    get: ({ params }, reply) => {
      const device = devices.info(params.name);
      giveRevision(reply, device.revision);
      return device;
    },
    patch: async (request, reply) => {
      const { params, body, who } = request;
      const check = (revision: number) => checkRevision(request, revision);
      const device = await fleet.patch(params.name, body, who, check, reachFor(request.user));
      giveRevision(reply, device.revision);
      return device;
    },
    remove: (request) => {
      const check = (revision: number) => checkRevision(request, revision);
      const { params, who, user } = request;
      return fleet.changeOne(params.name, { action: 'remove' }, who, check, reachFor(user));
    },
    act: ({ params: { name }, body: { action }, who, user }) =>
      fleet.changeOne(name, { action }, who, undefined, reachFor(user)),
    state: async ({ params: { name } }) => {
      const { reported, lastSeen } = devices.record(name);
      return { desired: await desired.get(name), reported, lastSeen };
    },
    history: ({ params: { name }, query }) => deviceHistory(parts, name, query),
  });
};

export const attentionRoutes: Routes =
  ({ attention }) =>
  async (app) =>
    serve(app, contract.attention, {
      list: ({ query, user }) => attention.list(query, reachFor(user)),
      get: ({ params }) => attention.get(params.name),
      change: ({ params, body, who }) => attention.change(params.name, body, who),
    });

/** Crash reports of devices, and of loops, which send theirs by HTTPS. */
export const crashRoutes: Routes =
  ({ crashes, fleet, symbols }) =>
  async (app) =>
    serve(app, contract.crashes, {
      list: ({ query: { selector, ...query }, user }) =>
        crashes.list({ ...query, devices: fleet.chosen(selector, reachFor(user)) }),
      get: ({ params, user }) => crashes.get(params.id, fleet.chosen(undefined, reachFor(user))),
      addSymbols: ({ body: { digest }, who }) => symbols.add(digest, who),
      send: async ({ body: { device, crash }, user }) => {
        requireInReach(reachFor(user), [device]);
        return { stored: await crashes.take(device, crash) };
      },
    });

/** Presence and predictions of devices over time. */
export const historyRoutes: Routes =
  ({ history, fleet }) =>
  async (app) =>
    serve(app, contract.history, {
      presence: ({ query: { selector, ...query }, user }) =>
        history.presence(query, fleet.chosen(selector, reachFor(user))),
      predictions: ({ query: { selector, ...query }, user }) =>
        history.predictions(query, fleet.chosen(selector, reachFor(user))),
      latency: ({ query: { selector, ...query }, user }) =>
        history.latency(query, fleet.chosen(selector, reachFor(user))),
    });

/** Batches of devices, and their first connections. */
const batchRoutes =
  (
    { batches, enrollments, desired }: Parameters<Routes>[0],
    identityOf: (enrolled: Enrolled) => Promise<ProvisionReply>,
  ) =>
  (app: FastifyInstance) => {
    serve(app, contract.batches, {
      create: ({ body, who }) => batches.create(body, who),
      list: ({ query }) => batches.list(query),
      get: ({ params }) => batches.get(params.name),
      revoke: ({ params, who }) => batches.revoke(params.name, who),
    });
    serve(app, contract.enrollments, {
      list: ({ query }) => enrollments.list(query),
      decide: async ({ body, who }) => ({
        devices: await enrollments.decide(body, who, (name) => desired.forget(name)),
      }),
      enroll: async ({ body, ip }, reply) => {
        const answer = await enrollments.ask(body, ip).catch((error: unknown) => {
          if (hasCode(error, 'AIOT_RATE_LIMITED'))
            reply.header('retry-after', Math.ceil((error.retryAfterMs ?? 60_000) / 1000));
          throw error;
        });
        if (answer.state === 'waiting') return { ...answer, identity: null };
        const { state, name, enrolled } = answer;
        return { state, name, retryMs: null, identity: await identityOf(enrolled) };
      },
    });
  };

/** Identities: how devices obtain certificates, and their signed birth certificates. */
export const enrolmentRoutes: Routes = (parts) => async (app) => {
  const { births, broker, claims, desired, devices, enrolment, roots, trust, urls, ca } = parts;

  const answer = async ({ device, certificate, fresh }: Enrolled) => {
    if (fresh) await desired.forget(device.name);
    const { http, mqtts } = urls();
    const floor = devices.record(device.name).reported?.floor ?? 0;
    const release = { sequence: 0, floor };
    const root = await roots.newest();
    const whom = { trust: await trust.get(), ...(root && { root }) };
    return { device, certificate, ca, urls: { http, mqtts }, ...whom, release };
  };

  serve(app, contract.enrolment, {
    provision: async ({ body: { csr, ...newcomer }, who }) =>
      answer(await enrolment.provision(newcomer, csr, who)),
    rotate: async ({ params: { name }, body: { csr, now, latest }, who, device, user }) => {
      if (device !== null && device !== name) {
        throw new AiotError(
          'AIOT_NOT_ALLOWED',
          `the device ${device} cannot change the certificate of ${name}`,
        );
      }
      const enrolled = await enrolment.rotate(name, { csr, now, latest, reach: reachFor(user) }, who);
      if (now) broker.disconnect(name);
      return answer(enrolled);
    },
    settle: async ({ params: { name }, body: { fingerprint }, who, user }) => {
      const device = await enrolment.settle(name, fingerprint, who, reachFor(user));
      broker.disconnect(name);
      return device;
    },
    replace: async ({ params: { name }, body: { csr, mac, latest }, who, user }) => {
      const enrolled = await enrolment.replace(name, { csr, mac, latest, reach: reachFor(user) }, who);
      broker.disconnect(name);
      const whole = await answer(enrolled);
      // Clears the old board's report. The new board gets the same desired state.
      await desired.moved(name);
      await devices.unreport(name);
      return { ...whole, device: devices.info(name) };
    },
    activate: async ({ device, who }) => {
      if (device === null) throw new AiotError('AIOT_NOT_ALLOWED', 'expected a device certificate');
      await devices.act(device, 'seen', who);
      const {
        certificate: _,
        ca: __,
        ...rest
      } = await answer({ device: devices.info(device), certificate: '', fresh: false });
      return rest;
    },
  });

  serve(app, contract.claims, {
    make: async ({ body: { validMs, ...newcomer }, who }) => {
      const { claim, fresh } = await claims.make(newcomer, validMs, who);
      if (fresh) await desired.forget(claim.device.name);
      return { ...claim, url: urls().http, ca };
    },
    redeem: async ({ body: { token, csr, mac } }) => answer(await claims.redeem(token, csr, mac)),
  });

  batchRoutes(parts, answer)(app);

  serve(app, contract.births, {
    put: ({ params: { name }, body: { envelope }, who }) => births.put(name, envelope, who),
    get: ({ params: { name } }) => births.get(name),
  });
};

export const secretRoutes: Routes =
  ({ broker, secrets }) =>
  async (app) =>
    serve(app, contract.secrets, {
      make: async ({ params: { name }, who, user }) => {
        const secret = await secrets.make(name, who, reachFor(user));
        // A connection with the previous secret must be re-established.
        broker.disconnect(name);
        return { device: name, secret, removed: false };
      },
      remove: async ({ params: { name }, who, user }) => {
        const removed = await secrets.remove(name, who, reachFor(user));
        if (removed) broker.disconnect(name);
        return { device: name, secret: null, removed };
      },
    });

/** Lists and ends remote sessions of all replicas. They are opened by WebSockets; see `remoteRoutes`. */
export const remoteSessionRoutes: Routes =
  ({ remote, peers }) =>
  async (app) => {
    const isForwarded = ({ headers }: FastifyRequest) => headers[forwardedHeader] !== undefined;
    /** The first result of another replica, unless one of them sent the request. @throws `error`; AIOT_REPLICA_UNREACHABLE if replicas are missing */
    const elsewhere = async <T>(
      request: FastifyRequest,
      method: 'GET' | 'DELETE',
      schema: z.ZodType<T>,
      error: unknown,
    ): Promise<T> => {
      if (isForwarded(request) || !hasCode(error, 'AIOT_NOT_FOUND')) throw error;
      const { answer, missing } = await peers.first(method, request.url, request.headers, schema);
      if (answer !== null) return answer;
      if (missing.length === 0) throw error;
      throw new AiotError(
        'AIOT_REPLICA_UNREACHABLE',
        `no replica that responded has this session; these did not respond: ${missing.join(', ')}`,
        { cause: error, retryable: true },
      );
    };
    serve(app, contract.remoteSessions, {
      list: async (request) => {
        const { query, user, url, headers } = request;
        requireInReach(reachFor(user), query.device === undefined ? [] : [query.device]);
        const { answers, missing } = isForwarded(request)
          ? { answers: [], missing: [] }
          : await peers.ask(url, headers, remoteSessionListSchema);
        const all = [
          ...remote.list(reachFor(user), query.device),
          ...answers.flatMap(({ sessions }) => sessions),
        ];
        return { sessions: all.sort((a, b) => a.opened - b.opened), missing: missing.sort() };
      },
      close: async (request) => {
        const { params, who, user } = request;
        try {
          return remote.end(params.id, who, reachFor(user));
        } catch (error) {
          return await elsewhere(request, 'DELETE', remoteSessionSchema, error);
        }
      },
      recording: async (request) => {
        const { params, user } = request;
        try {
          return await remote.recordings.read(params.id, (device) => reachFor(user)?.has(device) !== false);
        } catch (error) {
          return await elsewhere(request, 'GET', remoteRecordingSchema, error);
        }
      },
    });
  };

const heartbeatMs = 15_000;

/** Devices' live and past messages. */
export const talkRoutes: Routes =
  ({ devices, fleet, live, now, telemetry }) =>
  async (app) =>
    serve(app, contract.talk, {
      messages: async ({ params: { name }, query }) => {
        devices.record(name);
        return deviceMessages(telemetry, name, query, now());
      },
      series: ({ params: { name }, query }) => {
        devices.record(name);
        return deviceSeries({ telemetry, now }, name, query);
      },
      logs: ({ query: { selector, ...query }, user }) => {
        const chosen = fleet.chosen(selector, reachFor(user));
        return searchLogs(telemetry, query, chosen && new Set(chosen), now());
      },
      follow: async ({ query: { selector, ...query }, user }, reply) => {
        const isWatched = fleet.watched(selector, reachFor(user));
        reply.hijack();
        await streamLogs(live, isWatched, lineTest(query), reply.raw);
      },
      live: ({ params: { name }, user }, reply) => {
        devices.record(name);
        reply.hijack();
        streamLive(live, name, reply.raw, reachFor(user));
      },
    });

/** Commands of devices, and calls to them. */
export const commandRoutes: Routes =
  ({ commands }) =>
  async (app) =>
    serve(app, contract.commands, {
      list: async () => ({ commands: await commands.list() }),
      of: async ({ params: { name } }) => ({ commands: await commands.of(name) }),
      apply: ({ body, who }) => commands.apply(body, who),
      call: (request, reply) => {
        const left = new AbortController();
        reply.raw.once('close', () => left.abort());
        return commands.call(request.params.name, request.body, {
          ...{ who: request.who, role: request.user?.role ?? 'viewer', reach: request.user?.reach ?? null },
          ...{ key: idempotencyKeyOf(request), signal: left.signal },
        });
      },
    });

/** Settings of devices. */
export const settingsRoutes: Routes =
  ({ settings }) =>
  async (app) =>
    serve(app, contract.settings, {
      list: async ({ user }) => ({ settings: await settings.list(reachFor(user)) }),
      apply: ({ body, who }) => settings.apply(body, who),
      of: ({ params: { name } }) => settings.of(name),
      change: ({ params: { name }, body, who, user }) => settings.change(name, body, who, reachFor(user)),
      changeGroup: ({ params: { type, group }, body, who }) => settings.changeGroup(type, group, body, who),
    });

/** Begins a stream of server-sent events, and keeps its connection alive. */
function beginEvents(response: ServerResponse): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  const beat = setInterval(
    () => response.writableNeedDrain || response.write(': still here\n\n'),
    heartbeatMs,
  );
  response.on('close', () => clearInterval(beat));
}

/** Sends new log lines. Nothing is buffered for a slow client: it learns how many lines were left out, and can search for them. */
async function streamLogs(
  hub: LiveHub,
  isWatched: (device: string) => boolean,
  isWanted: (line: LogLine) => boolean,
  response: ServerResponse,
): Promise<void> {
  beginEvents(response);
  const send = (news: LogNews) => response.write(`data: ${JSON.stringify(news)}\n\n`);
  let missed = 0;
  const tellMissed = () => {
    if (missed === 0 || response.writableNeedDrain) return;
    send({ missed });
    missed = 0;
  };
  const end = hub.listen(null, (entry) => {
    if (entry.channel !== 'log' || !isWatched(entry.device)) return;
    const line = lineOf(entry);
    if (!isWanted(line)) return;
    tellMissed();
    if (response.writableNeedDrain) missed++;
    else send({ line });
  });
  response.on('drain', tellMissed);
  response.on('close', end);
  await hub.ready();
  response.write('retry: 2000\n\n');
  send({ begun: true });
}

/**
 * Sends each message as an event named after its channel. Nothing is buffered for a slow client; messages that the
 * client is too slow to receive are dropped and counted in `missed`.
 */
function streamLive(hub: LiveHub, device: string, response: ServerResponse, reach: Reach | null): void {
  beginEvents(response);
  response.write('retry: 2000\n\n');
  let missed = 0;
  const end = hub.listen(device, ({ channel, at, stream, payload }: Entry) => {
    // The device may have left the reach since.
    if (reach?.has(device) === false) {
      response.end();
      return;
    }
    if (response.writableNeedDrain) {
      missed++;
      return;
    }
    if (missed > 0) response.write(`event: missed\ndata: ${JSON.stringify({ count: missed })}\n\n`);
    missed = 0;
    response.write(`event: ${channel}\ndata: ${JSON.stringify({ at, stream, payload })}\n\n`);
  });
  response.on('close', end);
}
