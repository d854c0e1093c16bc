import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Agent } from 'undici';
import { AiotError } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';
import { backOffMs } from '../../core/time.js';
import { shownUrl } from '../../stream/url.js';
import type { Tokens } from '../access/tokens.js';
import type { Devices } from '../devices/devices.js';
import type { Worker } from '../workers.js';
import { type Authorizer, tokenUser } from './authorizer.js';
import { type NatsParts, openNatsControl } from './nats-control.js';

/** Closes connections at an external broker. */
export interface BrokerControl {
  /**
   * Closes a user's connections, and retries until the broker has confirmed it.
   * @param mayReturn whether the user may connect again; if not, connections that the broker was already admitting are closed too
   */
  cutOff(username: string, mayReturn: () => boolean): void;
  /** Background work at the broker, which only one replica does. */
  workers: readonly Worker[];
  /** Reason why the broker cannot ask the platform now; null = it can, or it asks over HTTP. */
  trouble(): string | null;
  close(): Promise<void>;
}

interface ControlParts {
  log: Logger;
  devices: Pick<Devices, 'records' | 'hasCertificate'>;
  /** For NATS servers, which send their requests over the same connection. */
  nats?: Omit<NatsParts, 'url' | 'log'>;
  /** For brokers with an HTTP API: finds users whose access ended unnoticed; absent = not searched for. */
  users?: { tokens: Pick<Tokens, 'validRights'>; authorizer: Pick<Authorizer, 'follow' | 'settle'> };
  /** Delay before the second pass, ms. */
  againMs?: number;
}

/** Time limit for one request to the broker, ms. */
const requestMs = 5000;

/** The delays between attempts, ms. */
const retryMs = { first: 250, most: 5000 };

/** After a broker has admitted a client, its API may take this long to list the connection, ms. */
const usualAgainMs = 1000;

/**
 * Delay before a user's connections are closed again after a later change, ms. Changes in between are handled together, because a command
 * can change thousands of devices.
 */
const gatherMs = 500;

/** Interval at which connections that should have been closed are searched for, ms. */
const lookMs = 30_000;

/** Largest number of a user's connections that one request lists. */
const together = 1000;

const kinds = {
  emqx: { path: '/api/v5', authorization: basicOf },
  rmqtt: { path: '/api/v1', authorization: bearerOf },
} as const;
type Kind = keyof typeof kinds;

/** The API of one broker node. */
interface Target {
  kind: Kind;
  /** Base address of the API, without credentials. */
  base: string;
  authorization: string | null;
}

/** The closing of one user's connections at one broker node. */
interface Run {
  mayReturn: () => boolean;
  /** Aborted when the rights have changed since the last pass began. */
  again: AbortController;
}

/** Closes connections at one broker node. */
interface Closer {
  /** Address without credentials. */
  endpoint: string;
  /** Returns the number of closed connections; null = the broker does not report it. */
  end(username: string, mayReturn: boolean, signal: AbortSignal): Promise<number | null>;
}

const hint =
  'Use emqx+https://KEY:SECRET@HOST:18083, rmqtt+https://TOKEN@HOST:6060 (separate the nodes of a cluster with commas), mosquitto+mqtts://USER:PASSWORD@HOST:8883, or nats://USER:PASSWORD@HOST:4222.';

const mosquitto = /^mosquitto\+(mqtts?:\/\/.+)$/;

/** Whether these are addresses of NATS servers. */
export const isNats = (urls: string) => /^natss?:\/\//i.test(urls.trim());

/** Whether `cutOff` also ends the subscriptions of users. Mosquitto does not ask about users. */
export const endsUsers = (urls: string) => !mosquitto.test(urls.trim());

/**
 * Parses the addresses of brokers' HTTP APIs: `emqx+https://KEY:SECRET@HOST:PORT` or `rmqtt+http://TOKEN@HOST:PORT`, separated by commas. An
 * RMQTT node closes only its own connections, so every node is listed.
 * @throws AIOT_USAGE
 */
export function controlTargets(text: string): Target[] {
  return text.split(',').map((part) => {
    const [, kind, rest] = /^(emqx|rmqtt)\+(https?:\/\/.+)$/.exec(part.trim()) ?? [];
    if (kind === undefined || rest === undefined || !URL.canParse(rest))
      throw new AiotError('AIOT_USAGE', "--broker-control: expected the address of the broker's API", {
        next: hint,
      });
    const url = new URL(rest);
    if ((url.pathname !== '/' && url.pathname !== '') || url.search !== '' || url.hash !== '')
      throw new AiotError(
        'AIOT_USAGE',
        `--broker-control: ${kind}+${url.origin}: expected an address without a path, a query or a fragment`,
        { next: hint },
      );
    const known = kinds[kind as Kind];
    return {
      kind: kind as Kind,
      base: `${url.origin}${known.path}`,
      authorization: known.authorization(url),
    };
  });
}

function basicOf({ username, password }: URL): string {
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

/** RMQTT requires a token only if one is configured there. */
function bearerOf({ username }: URL): string | null {
  return username === '' ? null : `Bearer ${decodeURIComponent(username)}`;
}

/**
 * Opens the APIs through which external brokers close connections. Over HTTP, nothing is sent before the first connection is to be closed.
 * @throws AIOT_USAGE; AIOT_BROKER_UNREACHABLE and AIOT_BROKER_REFUSED for Mosquitto and NATS
 */
export async function openControl(
  urls: string,
  { againMs = usualAgainMs, ...parts }: ControlParts,
): Promise<BrokerControl> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const { log } = parts;
  const running = new Set<Promise<void>>();
  const { closers, workers, trouble, close } = await closersAt(urls, parts);

  const untilDone = async ({ endpoint, end }: Closer, username: string, mayReturn: () => boolean) => {
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const closed = await end(username, mayReturn(), signal);
        if (closed !== 0)
          log.info({ broker: endpoint, user: username, closed }, 'closed connections at the broker');
        return;
      } catch (err) {
        if (signal.aborted) return;
        log.error(
          { err, broker: endpoint, user: username },
          'could not close connections at the broker; trying again',
        );
        await delay(backOffMs(failures, retryMs.first, retryMs.most), undefined, { signal }).catch(() => {});
      }
    }
  };
  const runs = new Map<Closer, Map<string, Run>>(closers.map((closer) => [closer, new Map()]));
  const pause = (ms: number, ended?: AbortSignal) =>
    delay(ms, undefined, { signal: ended ? AbortSignal.any([signal, ended]) : signal }).catch(() => {});
  const cutOff = async (closer: Closer, username: string, run: Run) => {
    for (let pass = 0; run.again.signal.aborted && !signal.aborted; pass++) {
      // The first list comes at once, so that a client that connects with new credentials stays connected.
      if (pass > 0) await pause(gatherMs);
      run.again = new AbortController();
      await untilDone(closer, username, () => run.mayReturn());
      if (run.mayReturn()) continue;
      await pause(againMs, run.again.signal);
      if (!run.again.signal.aborted && !signal.aborted)
        await untilDone(closer, username, () => run.mayReturn());
    }
    // At once, so that no later change is added to a run that has ended.
    runs.get(closer)?.delete(username);
  };
  return {
    workers,
    trouble: trouble ?? (() => null),
    cutOff(username, mayReturn) {
      for (const [closer, own] of runs) {
        const known = own.get(username);
        if (known) {
          known.mayReturn = mayReturn;
          known.again.abort();
          continue;
        }
        const run: Run = { mayReturn, again: new AbortController() };
        run.again.abort();
        own.set(username, run);
        const ended: Promise<void> = cutOff(closer, username, run).finally(() => running.delete(ended));
        running.add(ended);
      }
    },
    async close() {
      stopping.abort();
      await Promise.allSettled(running);
      await close();
    },
  };
}

interface Closers {
  closers: readonly Closer[];
  workers: readonly Worker[];
  trouble?: () => string | null;
  close(): Promise<void>;
}

async function closersAt(urls: string, { log, devices, nats: parts, users }: ControlParts): Promise<Closers> {
  if (parts && isNats(urls)) {
    const control = await openNatsControl({ ...parts, url: urls.trim(), log });
    return {
      closers: [
        { endpoint: shownUrl(urls.trim()), end: (user, _mayReturn, signal) => control.end(user, signal) },
      ],
      workers: [control.worker],
      trouble: control.trouble,
      close: () => control.close(),
    };
  }
  const [, url] = mosquitto.exec(urls.trim()) ?? [];
  if (url !== undefined) {
    const { openDynamicSecurity } = await import('./dynamic-security.js');
    const security = await openDynamicSecurity({ url, devices, log });
    const end: Closer['end'] = async (username, mayReturn) => {
      if (mayReturn) await security.disconnect(username);
      else await security.remove(username);
      return null;
    };
    return {
      closers: [{ endpoint: shownUrl(url), end }],
      workers: [security.worker],
      close: () => security.close(),
    };
  }
  const targets = controlTargets(urls);
  const agent = await httpAgent({ connections: 4, connect: { timeout: requestMs } });
  const closers = targets.map((target) => ({
    endpoint: target.base,
    end: (username: string, _mayReturn: boolean, signal: AbortSignal) =>
      closeAll(agent, target, username, signal),
  }));
  const worker = users && missedUsers(agent, targets, users, log);
  return { closers, workers: worker ? [worker] : [], close: () => agent.close() };
}

/**
 * Closes connections of users whose access ended, or whose devices may have changed, while no replica was watching them. A user whose
 * devices are limited is disconnected when this process sees the user for the first time, because it cannot know earlier subscriptions.
 */
function missedUsers(
  agent: Agent,
  targets: readonly Target[],
  { tokens, authorizer }: NonNullable<ControlParts['users']>,
  log: Logger,
): Worker {
  const look = async (signal: AbortSignal) => {
    const closed = new Set<string>();
    for (const target of targets) {
      const names = await listUsers(agent, target, signal);
      const ids = names.map((name) => name.slice(tokenUser.length));
      const valid = ids.length === 0 ? new Map<string, string>() : await tokens.validRights(ids);
      for (const id of ids) {
        const isNew = valid.has(id) && (await authorizer.follow(id));
        if (valid.has(id) && !isNew) continue;
        log.info(
          { broker: target.base, user: tokenUser + id },
          'closing connections that may have other rights',
        );
        await closeAll(agent, target, tokenUser + id, signal);
        closed.add(id);
      }
    }
    // Only now, because a connection at another target, or one whose closing failed, must be closed by the next look.
    for (const id of closed) authorizer.settle(id);
  };
  return {
    name: 'broker-users',
    async run(signal) {
      while (!signal.aborted) {
        await look(signal);
        await delay(lookMs, undefined, { signal }).catch(() => {});
      }
    },
  };
}

/** User names of the tokens that have connections or sessions at one node. RMQTT has no pages. */
async function listUsers(agent: Agent, target: Target, signal: AbortSignal): Promise<string[]> {
  const names = new Set<string>();
  for (let page = 1, more = true; more; page++) {
    const query: Record<string, string> =
      target.kind === 'emqx'
        ? { like_username: tokenUser, limit: `${together}`, page: `${page}` }
        : { _like_username: tokenUser };
    const listed = await ask(agent, target, 'GET', `/clients?${new URLSearchParams(query)}`, signal);
    if (listed.status !== 200) throw refused(listed.status);
    const clients = clientsIn(JSON.parse(listed.text));
    for (const { username } of clients) if (username.startsWith(tokenUser)) names.add(username);
    more = target.kind === 'emqx' && clients.length === together;
  }
  return [...names];
}

/** Closes all connections of a user at one node. Returns their number. */
async function closeAll(
  agent: Agent,
  target: Target,
  username: string,
  signal: AbortSignal,
): Promise<number> {
  const query = new URLSearchParams({
    username,
    [target.kind === 'emqx' ? 'limit' : '_limit']: String(together),
  });
  const listed = await ask(agent, target, 'GET', `/clients?${query}`, signal);
  if (listed.status !== 200) throw refused(listed.status);
  // Other users' clients are left alone, even if the broker ignored the filter.
  const clients = clientsIn(JSON.parse(listed.text)).filter((client) => client.username === username);
  const ids = clients.map(({ clientid }) => clientid);
  for (const id of ids) {
    const { status } = await ask(agent, target, 'DELETE', `/clients/${encodeURIComponent(id)}`, signal);
    // The client has left, or is connected to another node.
    if (status !== 200 && status !== 204 && status !== 404) throw refused(status);
  }
  return ids.length;
}

function refused(status: number): Error {
  return new Error(`the broker responded with HTTP status ${status}`);
}

/** EMQX lists clients in `data`, RMQTT as a list. */
function clientsIn(body: unknown): { clientid: string; username: string }[] {
  const rows = Array.isArray(body) ? body : (body as { data?: unknown } | null)?.data;
  if (!Array.isArray(rows)) throw new Error("the broker's response contains no list of clients");
  return rows.flatMap((row: { clientid?: unknown; username?: unknown } | null) =>
    typeof row?.username === 'string' && typeof row.clientid === 'string'
      ? [{ clientid: row.clientid, username: row.username }]
      : [],
  );
}

async function ask(
  dispatcher: Agent,
  { base, authorization }: Target,
  method: 'GET' | 'DELETE',
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const { request } = await import('undici');
  const { statusCode, body } = await request(`${base}${path}`, {
    ...{ method, dispatcher },
    headers: { accept: 'application/json', ...(authorization === null ? {} : { authorization }) },
    signal: AbortSignal.any([signal, AbortSignal.timeout(requestMs)]),
  });
  return { status: statusCode, text: await body.text() };
}
