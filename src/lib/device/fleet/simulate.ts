import { setMaxListeners } from 'node:events';
import {
  AiotError,
  inParallel,
  issueText,
  onAbort,
  preload,
  readJson,
  readText,
  residentBytes,
  systemClock,
} from '../../core/index.js';
import { contextFor, mostSimulated, type RegistryClient, withClient } from '../../registry/index.js';
import { createHttpSource } from '../link/http.js';
import { laterParts } from '../runtime.js';
import { blankMachines, type Kind } from './blank.js';
import { enlist } from './enlist.js';
import type { FleetEvent } from './events.js';
import { keepAliveS } from './line.js';
import { Member, type Shared } from './member.js';
import { type Faults, faultsSchema, isAway, type Network } from './network.js';
import { type Download, fleetSource } from './source.js';
import { parseTemplate } from './template.js';

export interface FleetOptions {
  /** Name of the platform's context; the one in use when absent. */
  context?: string | undefined;
  count: number;
  type: string;
  template: string;
  network: Network;
  /** JSON file of what is wrong with which device. */
  faults?: string | undefined;
  /** How much faster the fleet's time goes than the platform's. */
  clock: number;
  /** Of the devices: who shows a certificate. */
  mutual: number;
  download: Download;
  /** Revoke and remove the devices at the end. */
  cleanUp: boolean;
  /** End after this time connected, ms. */
  forMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onEvent: (event: FleetEvent) => void;
}

/** Connections that are made at a time; ms between two looks at the fleet, and longest silence about one that stays as it is. */
const connecting = 100;
const lookMs = 1000;
const silenceMs = 30_000;
const minuteMs = 60_000;

/**
 * Runs a fleet of simulated devices at a platform until the time is over or the signal is aborted.
 * @throws AIOT_USAGE, AIOT_CONTEXT_NOT_FOUND, AIOT_DEVICE_EXISTS, AIOT_PLATFORM_UNREACHABLE, AIOT_BROKER_REFUSED when no device gets in
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
  // Each request that is under way listens to it.
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

type Summary = Extract<FleetEvent, { event: 'summary' }>;

function teller(
  members: readonly Member[],
  messages: { sent: number; heard: number },
  source: { downloads: number },
  online: () => number,
) {
  let [last, lastTotal, told, toldAt] = [performance.now(), 0, '', performance.now()];
  const summary = (): Summary => {
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
    /** Tells where something is other than it was, and at times where nothing is. */
    look(onEvent: (event: FleetEvent) => void) {
      const now = summary();
      const what = JSON.stringify([now.online, now.states, now.models, now.firmware, now.configs]);
      if (what === told && performance.now() - toldAt < silenceMs) return;
      [told, toldAt] = [what, performance.now()];
      onEvent(now);
    },
  };
}

/** Devices by what they run of a kind. */
function running(members: readonly Member[], kind: Kind): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const member of members) {
    const content = member.running(kind);
    const what = content ? `${content.name}@${content.version}` : 'none';
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

/** Each device in a third of its keep-alive, not all of them at once. */
function pinging(members: readonly Member[]): NodeJS.Timeout {
  let tick = 0;
  const ticks = Math.floor(keepAliveS / 3);
  return setInterval(() => {
    for (let i = tick; i < members.length; i += ticks) members[i]!.ping();
    tick = (tick + 1) % ticks;
  }, 1000);
}

/** Devices go and come with each minute of the fleet's time. */
function roaming(members: readonly Member[], network: Network, clock: number): NodeJS.Timeout {
  let minute = 0;
  const move = () => {
    for (const member of members) member.away(isAway(network, member.index, minute));
    minute++;
  };
  move();
  return setInterval(move, minuteMs / clock);
}

/** A few hundred at a time: each is a request that changes many. */
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
  return new AiotError('AIOT_BROKER_REFUSED', `no device got in at ${endpoint}: ${cause.message}`, {
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
