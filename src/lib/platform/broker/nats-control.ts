import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { everyOf } from '../../fleet/selector.js';
import { withKeptCredentials } from '../../stream/credentials.js';
import { connectNats, type NatsClient } from '../../stream/nats/connect.js';
import { parseStreamUrl, queryBoolean, readQuery } from '../../stream/url.js';
import { reachDigest } from '../access/reach.js';
import { rightsIn, type Tokens } from '../access/tokens.js';
import type { Devices } from '../devices/devices.js';
import type { Worker } from '../workers.js';
import type { Authorizer } from './authorizer.js';
import { tokenUser } from './authorizer.js';
import { answerCallouts, clientTags } from './nats-callout.js';
import { type CalloutKeys, natsAuthFile, usualAccount } from './nats-config.js';

export interface NatsParts {
  /** nats(s)://USER:PASSWORD@HOST:PORT of a user of the system account. */
  url: string;
  keys: CalloutKeys;
  authorizer: Pick<Authorizer, 'admit' | 'follow'>;
  devices: Pick<Devices, 'mayConnect' | 'holds' | 'select'>;
  tokens: Pick<Tokens, 'validRights'>;
  /** ms since 1970 */
  now: () => number;
  log: Logger;
}

/**
 * The platform's connection to the system account of NATS servers. It answers the servers' authorization requests and closes connections.
 */
export interface NatsControl {
  /** Closes a device's connections at all servers, or those of a token that have other rights than now. Returns their number. */
  end(user: string, signal: AbortSignal): Promise<number>;
  /** Closes connections whose clients may no longer connect, in case this was missed, for example because no replica was running. */
  worker: Worker;
  /** Reason why the servers cannot ask the platform now; null = they can. */
  trouble(): string | null;
  close(): Promise<void>;
}

/** Subjects of the servers' services (NATS docs, "System Account"). `PING` addresses all servers, and a server's id only that server. */
const service = (server: string, name: string) => `$SYS.REQ.SERVER.${server}.${name}`;

/** Maximum time for the responses of all servers together, ms. */
const answerMs = 1500;

/** Maximum number of connections in one response; the server's own default. */
const together = 1024;

/** Interval at which connections that should have been closed are searched for, ms. */
const lookMs = 30_000;

/**
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED (also for a user outside the system account), AIOT_STREAM_URL
 */
export async function openNatsControl(parts: NatsParts): Promise<NatsControl> {
  const { devices, tokens, authorizer, keys, log } = parts;
  const url = parseStreamUrl(parts.url);
  const {
    account = usualAccount,
    servername,
    tlsFirst = false,
  } = readQuery(url, {
    account: z.string().min(1).optional(),
    servername: z.string().min(1).optional(),
    tlsFirst: queryBoolean.optional(),
  });
  let connected = true;
  const options = await withKeptCredentials(url, {
    onState: (state) => {
      connected = state === 'connected';
    },
  });
  const client = await connectNats(url, options, { servername, tlsFirst });
  client.onError((err) => log.error({ err }, 'the NATS server rejected a request'));
  const servers = askingServers(client);
  try {
    await requireSystemAccount(servers, url.endpoint);
  } catch (error) {
    await client.close();
    throw error;
  }
  const now = () => Math.floor(parts.now() / 1000);
  const stopAnswering = answerCallouts({ client, keys, account, authorizer, now, log });
  const kick = async (server: string, cid: number) => {
    const { error } = await servers.one(service(server, 'KICK'), { cid });
    // The client may have left in the meantime.
    if (error !== undefined && !/no such client/.test(error)) throw new Error(`NATS: ${error}`);
  };
  /** Closes the connections that `choose` selects among those that match. Returns their number. */
  const close = async (
    query: object,
    choose: (connections: readonly Connection[]) => readonly Connection[] | Promise<readonly Connection[]>,
    signal: AbortSignal,
  ) => {
    let closed = 0;
    const filter = { ...query, auth: true, acc: account };
    const { answers, missing } = await servers.all('CONNZ', { ...filter, limit: 1 });
    const found = answers.filter(({ data }) => connectionsIn(data).length > 0);
    const visit = async (id: string) => {
      for (let offset = 0, more = true; more && !signal.aborted; ) {
        const page = { ...filter, limit: together, offset, sort: 'cid' };
        const connections = connectionsIn((await servers.one(service(id, 'CONNZ'), page)).data);
        const chosen = await choose(connections);
        await Promise.all(chosen.map(({ cid }) => kick(id, cid)));
        closed += chosen.length;
        // The closed ones are no longer listed.
        offset += connections.length - chosen.length;
        more = connections.length === together;
      }
    };
    // A server that does not answer must not delay the closing of connections at the others.
    const visits = await Promise.allSettled(found.map(({ id }) => visit(id)));
    for (const result of visits) if (result.status === 'rejected') throw result.reason;
    if (missing !== null) throw missing;
    return closed;
  };
  const end = (user: string, signal: AbortSignal) => {
    // A client that has connected again meanwhile, with its current rights, stays connected.
    const isToken = user.startsWith(tokenUser);
    return close({ user }, (all) => (isToken ? unwelcome(all, { devices, tokens }) : all), signal);
  };
  const look = async (signal: AbortSignal) => {
    const choose = async (connections: readonly Connection[]) => {
      const limited = connections.filter(({ tags }) => tags?.some((tag) => tag.startsWith(clientTags.reach)));
      for (const token of new Set(limited.map(tokenOf))) await authorizer.follow(token);
      const excess = await unwelcome(connections, { devices, tokens });
      for (const { authorized_user: user } of excess)
        log.warn({ user }, 'closed a connection at the NATS server whose client has other rights now');
      return excess;
    };
    await close({}, choose, signal);
  };
  return {
    end,
    trouble: () => (connected ? null : `${url.endpoint} is unreachable: questions about clients`),
    worker: {
      name: 'nats',
      async run(signal) {
        while (!signal.aborted) {
          await look(signal);
          await delay(lookMs, undefined, { signal }).catch(() => {});
        }
      },
    },
    async close() {
      stopAnswering();
      await client.close();
    },
  };
}

async function requireSystemAccount(servers: Servers, endpoint: string): Promise<void> {
  try {
    // Unlike CONNZ, this service is not offered to other accounts.
    await servers.one(service('PING', 'STATSZ'), {});
  } catch (cause) {
    throw new AiotError('AIOT_BROKER_REFUSED', `${endpoint}: the user is not in the system account`, {
      ...{ cause, endpoint },
      next: `Include ${natsAuthFile} from the platform's folder pki in the servers' configuration, and use its user "system" in --broker-control.`,
    });
  }
}

const connectionSchema = z.object({
  cid: z.number(),
  authorized_user: z.string().optional(),
  tags: z.array(z.string()).optional(),
});
type Connection = z.output<typeof connectionSchema>;

function connectionsIn(data: unknown): Connection[] {
  return z.object({ connections: z.array(connectionSchema).nullish() }).parse(data ?? {}).connections ?? [];
}

const tokenOf = ({ authorized_user: user = '' }: Connection) => user.slice(tokenUser.length);

/** Connections that the platform admitted earlier, but would reject now or give other rights. */
async function unwelcome(
  connections: readonly Connection[],
  { devices, tokens }: Pick<NatsParts, 'devices' | 'tokens'>,
): Promise<Connection[]> {
  const users = connections.filter(({ tags }) => tags?.includes(clientTags.user));
  const rights =
    users.length === 0
      ? new Map<string, string>()
      : await tokens.validRights([...new Set(users.map(tokenOf))]);
  const excess = connections.filter(({ authorized_user: name = '', tags = [] }) => {
    if (!tags.includes(clientTags.device)) return false;
    const certificate = tags.find((tag) => tag.startsWith(clientTags.certificate));
    if (!devices.mayConnect(name)) return true;
    return certificate !== undefined && !devices.holds(certificate.slice(clientTags.certificate.length));
  });
  const digests = new Map<string, string>();
  const digestOf = (selector: string) => {
    const names = () => devices.select(selector).map(({ name }) => name);
    const digest = digests.get(selector) ?? reachDigest(names());
    digests.set(selector, digest);
    return digest;
  };
  const isExcess = (user: Connection) => {
    const right = rights.get(tokenOf(user));
    if (right === undefined) return true;
    const { role, selectors } = rightsIn(right);
    const reach = selectors.length === 0 ? undefined : digestOf(everyOf(selectors));
    const tagged = (prefix: string) => user.tags?.find((tag) => tag.startsWith(prefix))?.slice(prefix.length);
    const opened = tagged(clientTags.role);
    return (opened !== undefined && opened !== role) || tagged(clientTags.reach) !== reach;
  };
  return [...users.filter(isExcess), ...excess];
}

interface Answer {
  /** The server's id. */
  id: string;
  data: unknown;
  error: string | undefined;
}

interface Servers {
  /** Sends a request to one server. */
  one(subject: string, body: object): Promise<Answer>;
  /** Sends a request to all servers. `missing`: the error if some do not respond in time. */
  all(name: string, body: object): Promise<{ answers: Answer[]; missing: Error | null }>;
}

const answerSchema = z.object({
  server: z.object({ id: z.string() }),
  data: z.unknown().optional(),
  error: z.object({ description: z.string() }).optional(),
  /** Present only in the response to STATSZ. */
  statsz: z.object({ active_servers: z.number().default(1) }).optional(),
});

function askingServers({ nc, nats }: NatsClient): Servers {
  const read = (data: Uint8Array) => answerSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
  const all: Servers['all'] = async (name, body) => {
    const answers = new Map<string, Answer>();
    let expected = 1;
    let counted = false;
    const inbox = nats.createInbox();
    const subscription = nc.subscribe(inbox);
    const timer = setTimeout(() => subscription.unsubscribe(), answerMs);
    try {
      nc.publish(service('PING', 'STATSZ'), '{}', { reply: inbox });
      nc.publish(service('PING', name), JSON.stringify(body), { reply: inbox });
      for await (const msg of subscription) {
        // No service listens, because the user is not in the system account.
        if (msg.headers?.code === 503) break;
        const { server, statsz, data, error } = read(msg.data);
        if (statsz) {
          counted = true;
          expected = Math.max(expected, statsz.active_servers);
        } else answers.set(server.id, { id: server.id, data, error: error?.description });
        if (counted && answers.size >= expected) return { answers: [...answers.values()], missing: null };
      }
    } finally {
      clearTimeout(timer);
      subscription.unsubscribe();
    }
    return {
      answers: [...answers.values()],
      missing: new Error(`${answers.size} of ${expected} NATS servers answered`),
    };
  };
  return {
    all,
    async one(subject, body) {
      const msg = await nc.request(subject, JSON.stringify(body), { timeout: answerMs });
      const { server, data, error } = read(msg.data);
      return { id: server.id, data, error: error?.description };
    },
  };
}
