import { createHmac, randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { contextFor, withClient } from '../../api/context.js';
import { mostSimulated } from '../../api/contract/devices.js';
import { generateKeyPair, sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readJson, readText } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { namePattern } from '../../core/names.js';
import { preload, residentBytes } from '../../core/process.js';
import { inParallel, onAbort } from '../../core/tasks.js';
import { systemClock } from '../../core/time.js';
import { certificateRequest } from '../../provision/certificates.js';
import type { Signer } from '../protocol/proof.js';
import { laterParts } from '../runtime.js';
import { createHttpSource } from '../virtual/http-link.js';
import { type Door, keepAliveS } from './line.js';
import { Member, type Shared } from './member.js';
import { blankMachines, type Kind } from './member-part.js';
import { type Faults, faultsSchema, isAway, type Network } from './network.js';
import { type Download, fleetSource } from './source.js';

const t = z.int();
const count = z.int().min(0);

/** A fleet's state, as `aiot fleet simulate` prints it periodically. */
const summary = {
  devices: count,
  online: count,
  /** Number of devices by update state. */
  states: z.record(z.string(), count),
  /**
   * Number of devices by active release, for each kind. `none`: without a model, with the original firmware, or with
   * the default configuration.
   */
  models: z.record(z.string(), count),
  firmware: z.record(z.string(), count),
  configs: z.record(z.string(), count),
  /** Messages in both directions since the start, and per second since the last summary. */
  messages: z.object({ sent: count, heard: count }),
  messagesPerSecond: z.number(),
  /** Number of blobs downloaded. */
  downloads: count,
  /** Memory of this process, MiB. */
  memoryMb: count,
};

export const fleetEventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('enlisted'),
    t,
    devices: count,
    /** Number of devices that were newly registered. */
    made: count,
    /**
     * Number of devices by login method: with a certificate, with a secret over TLS, and with a secret on the plain listener.
     */
    mutual: count,
    tls: count,
    plain: count,
    seconds: z.number(),
  }),
  z.object({ event: z.literal('connected'), t, devices: count, refused: count, seconds: z.number() }),
  z.object({ event: z.literal('summary'), t, ...summary }),
  z.object({ event: z.literal('stopped'), t, ...summary, removed: count, seconds: z.number() }),
]);

export type FleetEvent = z.output<typeof fleetEventSchema>;

/** Formats an event as one line for people, without the time. */
export function describeFleetEvent(event: FleetEvent): string {
  switch (event.event) {
    case 'enlisted': {
      const { devices, made, mutual, tls, plain, seconds } = event;
      const ways = [`${mutual} with a certificate`, `${tls} over TLS`, `${plain} plain`];
      return `${devices} devices, ${made} of them new: ${ways.join(', ')} (${seconds.toFixed(1)} s)`;
    }
    case 'connected': {
      const { devices, refused, seconds } = event;
      const told = refused > 0 ? `, ${refused} not yet` : '';
      return `${devices} connected${told} (${seconds.toFixed(1)} s)`;
    }
    case 'summary':
      return summaryText(event);
    case 'stopped':
      return `stopped after ${event.seconds.toFixed(1)} s: ${summaryText(event)}${event.removed > 0 ? `, ${event.removed} devices removed` : ''}`;
  }
}

type Summary = Extract<FleetEvent, { event: 'summary' | 'stopped' }>;

function summaryText(summary: Summary): string {
  const { online, devices, states, models, firmware, configs, messagesPerSecond, memoryMb } = summary;
  const counted = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([what, many]) => `${many} ${what}`)
      .join(', ');
  /** Firmware and configurations are shown only if at least one device does not use the original. */
  const besides = (what: string, counts: Record<string, number>) =>
    counts.none === devices ? '' : `; ${what} ${counted(counts)}`;
  const more = `${besides('firmware', firmware)}${besides('configuration', configs)}`;
  const flow = `${Math.round(messagesPerSecond)} messages/s, ${memoryMb} MiB`;
  return `${online} of ${devices} online; ${counted(states)}; runs ${counted(models)}${more}; ${flow}`;
}

export interface FleetOptions {
  /** Name of the platform's context; absent = the current one. */
  context?: string | undefined;
  count: number;
  type: string;
  template: string;
  network: Network;
  /** JSON file with the faults of individual devices. */
  faults?: string | undefined;
  /** Speed-up factor of the fleet's clock. */
  clock: number;
  /** Share of devices that log in with a certificate. */
  mutual: number;
  download: Download;
  /** Whether to revoke and remove the devices at the end. */
  cleanUp: boolean;
  /** How long the fleet runs after it has connected, ms. */
  forMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onEvent: (event: FleetEvent) => void;
}

/** Maximum number of concurrent connection attempts. */
const connecting = 100;

const lookMs = 1000;
const silenceMs = 30_000;
const minuteMs = 60_000;

/**
 * Runs a fleet of simulated devices against a platform until the time is up or the signal is aborted.
 * @throws AIOT_USAGE, AIOT_CONTEXT_NOT_FOUND, AIOT_ALREADY_EXISTS, AIOT_PLATFORM_UNREACHABLE, AIOT_BROKER_REFUSED if no device can connect
 */
export async function simulateFleet(options: FleetOptions): Promise<void> {
  const context = await contextFor(options.context);
  const faults = options.faults === undefined ? {} : await readFaults(options.faults);
  await withClient(context.name, (client) => run(options, context, client, faults));
}

async function run(
  options: FleetOptions,
  context: Awaited<ReturnType<typeof contextFor>>,
  client: RegistryClient,
  faults: Faults,
): Promise<void> {
  const { count, type, network, clock, mutual, signal, onEvent } = options;
  const started = performance.now();
  const since = (begun: number) => (performance.now() - begun) / 1000;
  const now = () => systemClock.now();
  const { nameOf, tags } = parseTemplate(options.template);
  const names = Array.from({ length: count }, (_, index) => nameOf(index));
  const ca = context.ca ? await readText(context.ca) : undefined;
  const { urls } = await client.status();
  const enlisted = await enlist({ client, names, type, tags, mutual, urls, ca, signal });
  const { made, plain } = enlisted;
  const tls = count - plain - enlisted.mutual;
  onEvent({
    ...{ event: 'enlisted', t: now(), devices: count, made, mutual: enlisted.mutual, tls, plain },
    seconds: since(started),
  });

  preload(...laterParts);
  const http = createHttpSource({ urls, ca, token: context.token });
  const over = new AbortController();
  // Each pending request adds a listener, so their number is not limited.
  setMaxListeners(0, over.signal);
  const source = fleetSource(http, await client.trust.get(), options.download, over.signal);
  const messages = { sent: 0, heard: 0 };
  let online = 0;
  const shared: Shared = {
    ...{ network, clock, source, now, blanks: blankMachines(type) },
    onMessage: (direction) => {
      messages[direction]++;
    },
    onOnline: (delta) => {
      online += delta;
    },
  };
  const members = names.map(
    (name, index) => new Member(name, index, enlisted.doors[index]!, shared, faults[name]),
  );
  const tell = teller(members, messages, source, () => online);
  const timers: NodeJS.Timeout[] = [];
  try {
    const begun = performance.now();
    let refused = 0;
    let first: Error | null = null;
    await inParallel(
      members,
      connecting,
      async (member) => {
        const error = await member.connect();
        if (!error) return;
        first ??= error;
        refused++;
      },
      signal,
    );
    if (refused === count && first) throw refusal(first, urls.mqtts);
    onEvent({ event: 'connected', t: now(), devices: count - refused, refused, seconds: since(begun) });
    timers.push(
      setInterval(() => tell.look(onEvent), lookMs),
      pinging(members),
    );
    if (network.offline > 0) timers.push(roaming(members, network, clock));
    await ended(signal, options.forMs);
  } finally {
    over.abort();
    for (const timer of timers) clearInterval(timer);
    const last = tell.summary();
    for (const member of members) member.stop();
    const removed = options.cleanUp ? await remove(client, names) : 0;
    await http.close();
    onEvent({ ...last, event: 'stopped', removed, seconds: since(started) });
  }
}

type FinalSummary = Extract<FleetEvent, { event: 'summary' }>;

function teller(
  members: readonly Member[],
  messages: { sent: number; heard: number },
  source: { downloads: number },
  online: () => number,
) {
  let [last, lastTotal, told, toldAt] = [performance.now(), 0, '', performance.now()];
  const summary = (): FinalSummary => {
    const states: Record<string, number> = {};
    for (const { phase } of members) states[phase] = (states[phase] ?? 0) + 1;
    const runs = (kind: Kind) => running(members, kind);
    const [now, total] = [performance.now(), messages.sent + messages.heard];
    const messagesPerSecond = (total - lastTotal) / Math.max(0.001, (now - last) / 1000);
    [last, lastTotal] = [now, total];
    return {
      ...{ event: 'summary', t: systemClock.now(), devices: members.length, online: online() },
      ...{ states, models: runs('model'), firmware: runs('firmware'), configs: runs('config') },
      messages: { ...messages },
      messagesPerSecond: Math.round(messagesPerSecond),
      downloads: source.downloads,
      memoryMb: Math.round(residentBytes() / 1024 ** 2),
    };
  };
  return {
    summary,
    /** Emits a summary if something has changed, or every `silenceMs` if nothing has. */
    look(onEvent: (event: FleetEvent) => void) {
      const now = summary();
      const what = JSON.stringify([now.online, now.states, now.models, now.firmware, now.configs]);
      if (what === told && performance.now() - toldAt < silenceMs) return;
      [told, toldAt] = [what, performance.now()];
      onEvent(now);
    },
  };
}

/** Number of devices by the active release of one kind. */
function running(members: readonly Member[], kind: Kind): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const member of members) {
    const content = member.running(kind);
    const what = content ? `${content.name}@${content.version}` : 'none';
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

/** Pings each device three times per keep-alive interval, with the pings of all devices spread over time. */
function pinging(members: readonly Member[]): NodeJS.Timeout {
  let tick = 0;
  const ticks = Math.floor(keepAliveS / 3);
  return setInterval(() => {
    for (let i = tick; i < members.length; i += ticks) members[i]!.ping();
    tick = (tick + 1) % ticks;
  }, 1000);
}

/** Disconnects and reconnects devices every minute of the fleet's time. */
function roaming(members: readonly Member[], network: Network, clock: number): NodeJS.Timeout {
  let minute = 0;
  const move = () => {
    for (const member of members) member.away(isAway(network, member.index, minute));
    minute++;
  };
  move();
  return setInterval(move, minuteMs / clock);
}

/** Revokes and removes the devices, at most `mostSimulated` in each request. */
async function remove(client: RegistryClient, names: readonly string[]): Promise<number> {
  let removed = 0;
  for (let i = 0; i < names.length; i += mostSimulated) {
    const some = names.slice(i, i + mostSimulated);
    await client.devices.change(some, { action: 'revoke' });
    const changed = await client.devices.change(some, { action: 'remove' });
    removed += changed.filter(({ outcome }) => outcome === 'changed').length;
  }
  return removed;
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
async function readFaults(file: string): Promise<Faults> {
  const parsed = faultsSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data.devices;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`);
}

function refusal(cause: Error, endpoint: string): AiotError {
  return new AiotError('AIOT_BROKER_REFUSED', `no device could connect to ${endpoint}: ${cause.message}`, {
    ...{ endpoint, cause },
  });
}

function ended(signal: AbortSignal | undefined, forMs: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = forMs === undefined ? undefined : setTimeout(resolve, forMs);
    onAbort(signal, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Maximum number of concurrent certificate requests. */
const asked = 8;

const addresses = 5;

/**
 * How long to retry devices that are still online, ms. After a fleet ends, its devices count as online until the
 * platform notices the disconnection.
 */
const leavingMs = 5000;

const askAgainMs = 500;

interface EnlistOptions {
  client: RegistryClient;
  names: readonly string[];
  type: string;
  tags: Record<string, string>;
  /** Share of devices that log in with a certificate. */
  mutual: number;
  urls: { mqtts: string; mqtt?: string | undefined };
  /** PEM */
  ca: string | undefined;
  signal?: AbortSignal | undefined;
}

interface Enlisted {
  doors: Door[];
  made: number;
  mutual: number;
  plain: number;
}

/**
 * Registers missing devices and gives all devices new, temporary credentials: each device gets a secret or a
 * certificate. Devices with a secret use the platform's plain listener, if any, which is reachable only on the loopback
 * interface.
 * @throws AIOT_ALREADY_EXISTS, AIOT_DEVICE_ONLINE if another simulation runs them
 */
async function enlist(options: EnlistOptions): Promise<Enlisted> {
  const { client, names, type, tags, mutual, urls, ca, signal } = options;
  const seed = randomBytes(32);
  const secretOf = (name: string) => createHmac('sha256', seed).update(name).digest('base64url');
  let made = 0;
  for (let i = 0; i < names.length; i += mostSimulated) {
    signal?.throwIfAborted();
    const devices = names
      .slice(i, i + mostSimulated)
      .map((name) => ({ name, digest: sha256Hex(secretOf(name)) }));
    made += (await onceGone(() => client.devices.simulate({ type, tags, devices }), signal)).made;
  }
  const trusted = ca === undefined ? {} : { ca };
  const contexts = new Map<string, SecureContext>();
  const signers = new Map<string, Signer>();
  const withCertificate = names.filter((_, i) => Math.floor((i + 1) * mutual) > Math.floor(i * mutual));
  await inParallel(
    withCertificate,
    asked,
    async (name) => {
      const key = generateKeyPair().privatePem;
      const { certificate } = await client.devices.rotate(name, await certificateRequest(key, name), true);
      signers.set(name, { name, key, certificate });
      contexts.set(name, createSecureContext({ key, cert: certificate, ...trusted }));
    },
    signal,
  );
  const everybody = urls.mqtt === undefined ? createSecureContext(trusted) : null;
  const doors = names.map((name, index): Door => {
    const context = contexts.get(name) ?? everybody;
    const { hostname, port } = new URL(context ? urls.mqtts : urls.mqtt!);
    const own = contexts.has(name) ? {} : { secret: secretOf(name) };
    const secure = context ? { secure: { servername: isIP(hostname) ? '' : hostname, context } } : {};
    const at = { host: hostname, port: Number(port), ...addressOf(hostname, index) };
    return { ...at, ...secure, ...own, signer: signers.get(name) };
  });
  const plain = urls.mqtt === undefined ? 0 : names.length - contexts.size;
  return { doors, made, mutual: contexts.size, plain };
}

async function onceGone<T>(ask: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (const until = performance.now() + leavingMs; ; ) {
    try {
      return await ask();
    } catch (error) {
      if (!hasCode(error, 'AIOT_DEVICE_ONLINE') || performance.now() > until) throw error;
    }
    await delay(askAgainMs, undefined, { signal });
  }
}

/** Each loopback address has its own range of ports. Only Linux provides more than one such address. */
function addressOf(host: string, index: number): Pick<Door, 'localAddress'> {
  if (process.platform !== 'linux' || (host !== '127.0.0.1' && host !== 'localhost')) return {};
  return { localAddress: `127.0.0.${1 + (index % addresses)}` };
}

/** Pattern for the names of a fleet's devices, and the devices' tags. */
interface FleetTemplate {
  nameOf(index: number): string;
  tags: Record<string, string>;
}

export const usualTemplate = 'sim-#####';

/** Parses `press-####,site=lab,line=2`: a name, with #s for the device's number from 1, and tags. @throws AIOT_USAGE */
export function parseTemplate(text: string): FleetTemplate {
  const [pattern = '', ...rest] = text.split(',').map((part) => part.trim());
  const [, before = '', digits = '', after = ''] = /^([^#]*)(#+)([^#]*)$/.exec(pattern) ?? [];
  const nameOf = (index: number) => `${before}${String(index + 1).padStart(digits.length, '0')}${after}`;
  if (digits === '' || !namePattern.test(nameOf(0))) {
    throw new AiotError(
      'AIOT_USAGE',
      `--template: expected a name with # characters, such as press-####, got "${text}"`,
    );
  }
  const tags = rest.map((part) => {
    const [tag = '', ...value] = part.split('=');
    if (tag === '' || value.length === 0)
      throw new AiotError('AIOT_USAGE', `--template: expected TAG=VALUE after the name, got "${part}"`);
    return [tag, value.join('=')] as const;
  });
  return { nameOf, tags: Object.fromEntries(tags) };
}
