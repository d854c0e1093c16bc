import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { atLeast, scopeCovers } from '../../api/contract/access.js';
import type { IntegrationApplied } from '../../api/contract/settings.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { Inference } from '../../device/protocol/messages.js';
import {
  type Discovery,
  discoveryOf,
  type HomeAssistant,
  type HomeDevice,
  type HomePlace,
  type HomeState,
  highest,
  homeAssistantSchema,
  homeRoot,
  homeTopics,
  type Installable,
  type InstallKind,
  installKinds,
  installPayload,
  parseInstall,
  stateOf,
  updateOf,
} from '../../fleet/home-assistant.js';
import { parseSelector } from '../../fleet/selector.js';
import { shownUrl } from '../../stream/url.js';
import { reachOf } from '../access/reach.js';
import type { Tokens } from '../access/tokens.js';
import type { Users } from '../access/users.js';
import type { Broker } from '../broker/broker.js';
import type { DeviceRecord, Devices } from '../devices/devices.js';
import type { Entry } from '../journal/entry.js';
import { fieldsOf } from '../journal/takes.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Models } from '../releases/models.js';
import type { Firmware } from '../releases/releases.js';
import type { Rollouts } from '../releases/rollouts.js';
import type { Store } from '../store/database.js';
import type { Worker } from '../workers.js';
import type { Denials } from './audit.js';
import type { Events } from './events.js';
import { type HomeLink, type HomeMessage, homeFilters, openHomeLink } from './home-link.js';
import { untilDone } from './outbox.js';

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  telemetry: Pick<Telemetry, 'reader'>;
  models: Pick<Models, 'list' | 'get'>;
  firmware: Pick<Firmware, 'list'>;
  rollouts: Pick<Rollouts, 'start'>;
  tokens: Pick<Tokens, 'identityOf'>;
  users: Pick<Users, 'get' | 'isFromProvider'>;
  denials: Pick<Denials, 'note'>;
  broker: Pick<Broker, 'streams' | 'watchUsers'>;
  /** Distinguishes this platform's devices from another's. */
  platform: string;
  version: string;
  /** Address of the dashboard, once it is known. */
  url: () => string;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  env?: NodeJS.ProcessEnv;
}

/** Key of the stored definition, and of the brokers from which its messages are still to be removed. */
const storedKey = 'home-assistant';
interface Stored {
  definition: HomeAssistant | null;
  ended: Pick<HomeAssistant, 'broker' | 'prefix'>[];
}

/** Maximum number of devices. The service compares the state of each device every second, and Home Assistant is made for fewer. */
const mostDevices = 10_000;
/** Maximum number of discovery messages per second, because Home Assistant creates a device's entities for each. */
const devicesPerSecond = 50;
/** Maximum number of states per second. */
const statesPerSecond = 500;
const tickMs = 1000;
/** How long a broker may take to send its retained messages, ms. */
const syncMs = 10_000;
/** Delay between a device's discovery and its first state, ms. Home Assistant needs it to subscribe to the device's topics. */
const settleMs = 1000;
/** How long the newest releases are cached, ms. */
const releasesMs = 5000;
/** Maximum number of installations that are being started, and time within which a repeated request is ignored, ms. */
const mostInstalls = 20;
const repeatMs = 60_000;
const pauses = { firstPauseMs: 500, longestPauseMs: 30_000 };

/**
 * Publishes devices for Home Assistant, on the platform's broker or another one. The leader's worker compares the broker's retained
 * discovery messages with the wanted ones, so a restart repeats nothing and removes leftovers.
 */
export class HomeAssistantService {
  constructor(private readonly parts: Parts) {}

  /**
   * Sets the integration that a project defines; null = none.
   * @throws AIOT_ALREADY_EXISTS (another project), AIOT_SELECTOR_INVALID, AIOT_REQUEST_INVALID (too many devices)
   */
  async apply(
    { project, definition }: { project: string; definition: HomeAssistant | null },
    who: string,
  ): Promise<IntegrationApplied> {
    const { store, events, now } = this.parts;
    if (definition) {
      parseSelector(definition.selector, now());
      // A project that has defined it before starts also after its fleet has grown; the first devices are then shown.
      const { definition: known } = await storedIn(store);
      if (JSON.stringify(known) !== JSON.stringify(definition))
        await shownDevices(this.parts.devices, definition.selector, 'all');
    }
    return store.transaction().execute(async (transaction) => {
      const before = await storedIn(transaction);
      const old = before.definition;
      const isOther = old !== null && old.project !== project;
      if (isOther && definition)
        throw new AiotError(
          'AIOT_ALREADY_EXISTS',
          `the project ${old.project} already defines the Home Assistant integration`,
          { next: `Remove integrations.homeAssistant from one of the two projects.` },
        );
      const broker = definition && (definition.broker === null ? 'own' : shownUrl(definition.broker));
      const isSame = isOther || JSON.stringify(old) === JSON.stringify(definition);
      const change = isSame ? 'unchanged' : old === null ? 'created' : definition ? 'changed' : 'removed';
      const result = { project, change, broker } as const;
      if (isSame) return result;
      const isMoved = old !== null && !(definition && isSamePlace(old, definition));
      const ended = [
        ...before.ended.filter((place) => !(definition && isSamePlace(place, definition))),
        ...(isMoved ? [{ broker: old.broker, prefix: old.prefix }] : []),
      ];
      await save({ definition, ended }, transaction);
      const data = { change, broker };
      await events.record({ who, type: 'home-assistant.apply', subject: project, data }, transaction);
      return result;
    });
  }

  worker(): Worker {
    return { name: 'home-assistant', run: (signal) => this.run(signal) };
  }

  /** A failure must not affect the platform's readiness, because the other broker is not part of the platform. */
  private async run(signal: AbortSignal): Promise<void> {
    await repeat(signal, async () => {
      // The devices link to the dashboard.
      if (this.parts.url() === '') return;
      await untilDone(
        () => this.serve(signal),
        signal,
        pauses,
        (error) => this.warn(error),
      );
    });
  }

  private warn(err: unknown): undefined {
    this.parts.log.warn({ err }, 'could not publish devices for Home Assistant');
  }

  /** Works until the definition changes, or the signal is aborted. */
  private async serve(signal: AbortSignal): Promise<void> {
    const { store } = this.parts;
    const stored = await storedIn(store);
    if (stored.definition === null && stored.ended.length === 0) return;
    const ending = new AbortController();
    const stop = onAbort(signal, () => ending.abort());
    const watch = repeat(ending.signal, async () => {
      if (JSON.stringify(await storedIn(store)) !== JSON.stringify(stored)) ending.abort();
    });
    const work = stored.ended.map((place) => this.clean(place, ending.signal));
    if (stored.definition) work.push(new Announcer(this.parts, stored.definition).run(ending.signal));
    await together([watch, ...work], ending).finally(stop);
  }

  /** Removes the messages from a broker that Home Assistant no longer reads. */
  private async clean(place: Stored['ended'][number], signal: AbortSignal): Promise<void> {
    const task = async () => {
      await new Announcer(this.parts, { ...nothing, ...place }).removeAll(signal);
      await this.parts.store.transaction().execute(async (transaction) => {
        const { definition, ended } = await storedIn(transaction);
        await save({ definition, ended: ended.filter((each) => !isSamePlace(each, place)) }, transaction);
      });
    };
    await untilDone(task, signal, pauses, (error) => this.warn(error));
  }
}

const nothing: HomeAssistant = {
  ...{ project: 'none', broker: null, prefix: '', selector: 'all', everyMs: 0, installs: null },
  ...{ stream: '', sensors: [] },
};

function isSamePlace(a: Pick<HomeAssistant, 'broker' | 'prefix'>, b: typeof a): boolean {
  return a.broker === b.broker && a.prefix === b.prefix;
}

/**
 * The devices that a selector chooses, sorted by name, at most `mostDevices`.
 * @param wanted `all`: more are an error
 * @throws AIOT_SELECTOR_INVALID, AIOT_REQUEST_INVALID (too many)
 */
async function shownDevices(
  devices: Parts['devices'],
  selector: string,
  wanted: 'all' | 'first',
): Promise<DeviceRecord[]> {
  const shown: DeviceRecord[] = [];
  let count = 0;
  await devices.visit((device) => {
    if (!isShown(device)) return;
    count++;
    if (count <= mostDevices) shown.push(device);
  }, selector);
  if (wanted === 'first' || count <= mostDevices) return shown;
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    `the Home Assistant integration selects ${count} devices; the limit is ${mostDevices}`,
    { next: 'Select fewer with `selector` in integrations.homeAssistant.' },
  );
}

async function storedIn(store: Store): Promise<Stored> {
  const row = await store.selectFrom('meta').select('value').where('key', '=', storedKey).executeTakeFirst();
  if (!row) return { definition: null, ended: [] };
  const { definition, ended } = JSON.parse(row.value) as Stored;
  return { definition: homeAssistantSchema.nullable().parse(definition), ended };
}

async function save(stored: Stored, store: Store): Promise<void> {
  await store.deleteFrom('meta').where('key', '=', storedKey).execute();
  if (stored.definition === null && stored.ended.length === 0) return;
  const value = JSON.stringify(stored);
  await store.insertInto('meta').values({ key: storedKey, value }).execute();
}

/** A retained discovery message on the broker. */
interface Known {
  /** Digest of the payload; empty = it must be published again. */
  digest: string;
  /** Platforms of the components. */
  components: Record<string, string>;
  availability: string | null;
}

/** The state of one device on the broker. */
interface Announced {
  device: HomeDevice;
  from: Origin;
  /** Digest of the discovery message. */
  digest: string;
  /** Time from which a state may be published, ms of `performance.now`; infinite = the discovery message is not acknowledged yet. */
  due: number;
  availability: string;
  state: string;
  updates: Partial<Record<InstallKind, string>>;
}

/** Everything that a discovery message is made from, to recognize devices that have not changed. */
type Origin = Pick<DeviceRecord, 'type' | 'mac' | 'reported'> & { releases: Newest };

function isSameOrigin(a: Origin, b: Origin): boolean {
  return a.type === b.type && a.mac === b.mac && a.reported === b.reported && a.releases === b.releases;
}

/** The newest releases, by name. */
interface Newest {
  firmware: Map<string, { version: number; sequence: number; deviceTypes: readonly string[] }>;
  models: Map<string, { version: number; sequence: number }>;
}

/** Publishes one definition over one connection. */
class Announcer {
  private readonly known = new Map<string, Known>();
  private readonly announced = new Map<string, Announced>();
  private readonly latest = new Map<string, HomeState>();
  private readonly answers: Answers;
  private readonly problems = new Map<string, string>();
  /** Times of the last install commands, by device and kind. */
  private readonly installs = new Map<string, number>();
  private installing = 0;
  private newest: { at: number; releases: Newest } | null = null;
  /** Whether all messages are to be published again. */
  private again = false;
  private marker: { payload: string; arrived: () => void } | null = null;
  private link: HomeLink | null = null;
  private lastStatus: 'offline' | '' = 'offline';

  constructor(
    private readonly parts: Parts,
    private readonly definition: HomeAssistant,
  ) {
    this.answers = new Answers(parts.models);
  }

  async run(signal: AbortSignal): Promise<void> {
    // After a lost connection, the broker may have lost its messages, so the work starts again.
    while (!signal.aborted)
      await this.connected(signal, async (link, ending) => {
        const { signal: ended } = ending;
        await publish(link, ended, `${homeRoot(this.parts.platform)}/status`, 'online', true);
        const work = [
          repeat(ended, () => this.announce(link, ended)),
          repeat(ended, () => this.tellStates(link, ended)),
          this.follow(ended),
        ];
        await together(work, ending);
      });
  }

  async removeAll(signal: AbortSignal): Promise<void> {
    await this.connected(signal, async (link, { signal: ended }) => {
      await this.remove([...this.known.keys()], link, ended);
      await publish(link, ended, `${homeRoot(this.parts.platform)}/status`, '', true);
      this.lastStatus = '';
    });
    signal.throwIfAborted();
  }

  private async connected(
    signal: AbortSignal,
    work: (link: HomeLink, ending: AbortController) => Promise<void>,
  ): Promise<void> {
    const { broker, platform, log, env = process.env } = this.parts;
    const { broker: url, prefix } = this.definition;
    const ending = new AbortController();
    const stop = onAbort(signal, () => ending.abort());
    let failure: unknown;
    this.known.clear();
    this.announced.clear();
    const link = await openHomeLink({
      ...{ broker, url, prefix, platform, env, signal: ending.signal },
      receive: (message) => this.receive(message),
      lost: () =>
        log.warn({ broker: url && shownUrl(url) }, "lost the connection to Home Assistant's broker"),
      restored: () => ending.abort(),
      failed(error) {
        failure = error;
        ending.abort();
      },
    });
    this.link = link;
    try {
      await this.sync(link, ending.signal);
      await work(link, ending);
    } catch (error) {
      if (!ending.signal.aborted) throw error;
    } finally {
      ending.abort();
      stop();
      this.link = null;
      this.marker = null;
      await link.close(this.lastStatus);
    }
    if (failure !== undefined && !signal.aborted) throw failure;
  }

  /** Waits until the broker's retained messages have arrived. */
  private async sync(link: HomeLink, signal: AbortSignal): Promise<void> {
    const { prefix } = this.definition;
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const payload = randomUUID();
    this.marker = { payload, arrived };
    await publish(link, signal, homeFilters(prefix, this.parts.platform).marker, payload, false);
    const waiting = new AbortController();
    const stop = onAbort(signal, () => waiting.abort());
    await Promise.race([arrival, delay(syncMs, undefined, { signal: waiting.signal })]).finally(stop);
    waiting.abort();
    signal.throwIfAborted();
    this.marker = null;
    this.again = false;
  }

  private receive(message: HomeMessage): void {
    const { topic, payload } = message;
    const { prefix } = this.definition;
    const { platform } = this.parts;
    const { marker, birth } = homeFilters(prefix, platform);
    if (topic === marker) {
      if (this.marker?.payload === payload) this.marker.arrived();
    } else if (topic === birth) {
      if (payload === 'online') this.again = true;
    } else if (topic.startsWith(`${prefix}/device/aiot_${platform}_`) && topic.endsWith('/config')) {
      // The broker also delivers this service's own messages.
      if (payload === '') this.known.delete(topic);
      else this.known.set(topic, knownOf(payload));
    } else this.requested(message);
  }

  /** Publishes the discovery messages that differ from those on the broker. */
  private async announce(link: HomeLink, signal: AbortSignal): Promise<void> {
    const { prefix, installs } = this.definition;
    const { devices, platform, version, url } = this.parts;
    if (this.again) {
      this.again = false;
      for (const known of this.known.values()) known.digest = '';
    }
    const canInstall = link.knowsUsers || installs !== null;
    const place: HomePlace = { platform, prefix, version, url: url(), canInstall };
    const shown = await shownDevices(devices, this.definition.selector, 'first');
    const releases = await this.releases();
    const topics = new Set(shown.map(({ name }) => homeTopics(name, place).config));
    await this.remove(
      [...this.known.keys()].filter((topic) => !topics.has(topic)),
      link,
      signal,
    );
    const names = new Set(shown.map(({ name }) => name));
    for (const map of [this.announced, this.latest])
      for (const name of map.keys()) if (!names.has(name)) map.delete(name);
    const pace = new Pace(devicesPerSecond);
    const tell = async (topic: string, payload: string) => {
      await pace.wait(signal);
      await publish(link, signal, topic, payload, true);
    };
    for (const record of shown) {
      const { name, type, mac, reported } = record;
      const topic = homeTopics(name, place).config;
      const before = this.announced.get(name);
      const from = { type, mac, reported, releases };
      const digest = this.known.get(topic)?.digest;
      if (before && before.digest === digest && isSameOrigin(before.from, from)) continue;
      const device = await this.deviceOf(record, releases);
      const discovery = discoveryOf(device, this.definition, place);
      const wanted = sha256Hex(JSON.stringify(discovery));
      if (before && digest === wanted) {
        this.announced.set(name, { ...before, device, from });
        continue;
      }
      const anew = { device, from, digest: wanted, availability: '', state: '', updates: {} };
      // Home Assistant may send an install command before the broker has acknowledged the discovery message.
      this.announced.set(name, { ...anew, due: Number.POSITIVE_INFINITY });
      if (digest !== wanted) await this.replace(topic, discovery, (payload) => tell(topic, payload));
      this.announced.set(name, { ...anew, due: performance.now() + settleMs });
    }
    for (const map of [this.problems, this.installs])
      for (const key of map.keys()) if (!names.has(key.split('/')[0] ?? '')) map.delete(key);
  }

  /** Publishes a discovery message. Home Assistant removes a component only if it gets an entry without settings for it first. */
  private async replace(
    topic: string,
    discovery: Discovery,
    tell: (payload: string) => Promise<void>,
  ): Promise<void> {
    const { components: before = {} } = this.known.get(topic) ?? {};
    const gone = Object.entries(before).filter(([key]) => !Object.hasOwn(discovery.components, key));
    if (gone.length > 0) {
      const left = Object.fromEntries(gone.map(([key, platform]) => [key, { platform }]));
      await tell(JSON.stringify({ ...discovery, components: { ...discovery.components, ...left } }));
    }
    const payload = JSON.stringify(discovery);
    await tell(payload);
    this.known.set(topic, knownOf(payload));
  }

  private async remove(topics: string[], link: HomeLink, signal: AbortSignal): Promise<void> {
    const pace = new Pace(devicesPerSecond);
    for (const topic of topics) {
      await pace.wait(signal);
      if (signal.aborted) return;
      const known = this.known.get(topic);
      await publish(link, signal, topic, '', true);
      if (known && this.isOwnAvailability(topic, known))
        await publish(link, signal, known.availability ?? '', '', true);
      this.known.delete(topic);
    }
  }

  /** Whether a discovery message refers to its own device. Other clients may publish discovery messages too. */
  private isOwnAvailability(topic: string, { availability }: Known): boolean {
    const { platform } = this.parts;
    const base = `${homeRoot(platform)}/devices/`;
    if (!availability?.startsWith(base)) return false;
    const device = availability.slice(base.length).replace(/\/availability$/, '');
    const topics = homeTopics(device, { platform, prefix: this.definition.prefix });
    return topics.config === topic && topics.availability === availability;
  }

  /** Publishes the presence, values and versions that have changed. */
  private async tellStates(link: HomeLink, signal: AbortSignal): Promise<void> {
    const { prefix, everyMs } = this.definition;
    const { devices, platform } = this.parts;
    const pace = new Pace(statesPerSecond);
    const tell = async (topic: string, payload: string, retain: boolean) => {
      await pace.wait(signal);
      await publish(link, signal, topic, payload, retain);
    };
    for (const [name, announced] of this.announced) {
      if (signal.aborted) return;
      const { device } = announced;
      if (announced.due === Number.POSITIVE_INFINITY) continue;
      const topics = homeTopics(name, { platform, prefix });
      const availability = devices.online(name) ? 'online' : 'offline';
      if (availability !== announced.availability) await tell(topics.availability, availability, true);
      announced.availability = availability;
      if (performance.now() < announced.due) continue;
      const state = JSON.stringify(stateOf(this.latest.get(name) ?? { values: {}, inference: null }, device));
      if (state !== announced.state) {
        await tell(topics.state, state, false);
        announced.state = state;
        announced.due = performance.now() + everyMs;
      }
      for (const kind of device.installable) {
        const installable = installableOf(kind, device, await this.releases());
        if (!installable) continue;
        const problem = this.problems.get(`${name}/${kind}`) ?? null;
        const update = JSON.stringify(updateOf(kind, installable, device.reported, problem));
        if (update === announced.updates[kind]) continue;
        await tell(topics.update(kind), update, false);
        announced.updates[kind] = update;
      }
    }
  }

  /** Remembers the newest values of each device. */
  private async follow(signal: AbortSignal): Promise<void> {
    const { reader } = this.parts.telemetry;
    const fields = new Set(this.definition.sensors.map(({ field }) => field));
    for await (const batch of reader.from(await reader.end(), signal))
      for (const { entry } of batch) if (this.announced.has(entry.device)) this.take(entry, fields);
  }

  private take({ device, channel, stream, payload }: Entry, fields: ReadonlySet<string>): void {
    const before = this.latest.get(device) ?? { values: {}, inference: null };
    if (channel === 'inference') {
      this.latest.set(device, { ...before, inference: summaryOf(payload as unknown as Inference) });
      return;
    }
    if (channel !== 'telemetry' || stream !== this.definition.stream) return;
    const values = { ...before.values };
    for (const [field, column] of fieldsOf(payload)) {
      const value = column.at(-1);
      if (fields.has(field) && value !== undefined && Number.isFinite(value)) values[field] = value;
    }
    this.latest.set(device, { ...before, values });
  }

  private async deviceOf({ name, type, mac, reported }: DeviceRecord, releases: Newest): Promise<HomeDevice> {
    const answer = reported?.model ? await this.answers.of(reported.model) : null;
    const device: HomeDevice = { name, type, mac, reported, answer, installable: new Set() };
    const installable = installKinds.filter((kind) => installableOf(kind, device, releases) !== null);
    return { ...device, installable: new Set(installable) };
  }

  private async releases(): Promise<Newest> {
    const at = performance.now();
    if (this.newest && at - this.newest.at < releasesMs) return this.newest.releases;
    const { firmware, models } = this.parts;
    const releases: Newest = { firmware: new Map(), models: new Map() };
    const { entries: images } = await firmware.list({ limit: 1000 });
    for (const { name, latest } of images) {
      const { version, sequence, deviceTypes } = latest;
      releases.firmware.set(name, { version, sequence, deviceTypes });
    }
    const { models: all } = await models.list({ limit: 1000 });
    for (const { name, production } of all)
      if (production !== null) {
        const { version, sequence } = await models.get(name, production);
        releases.models.set(name, { version, sequence });
      }
    const isSame = this.newest !== null && sameReleases(this.newest.releases, releases);
    this.newest = { at, releases: isSame && this.newest ? this.newest.releases : releases };
    return this.newest.releases;
  }

  /** Handles an install command. A repeated one is ignored, as is a retained one, which may be old. */
  private requested({ topic, payload, retained, user }: HomeMessage): void {
    const asked = parseInstall(topic, this.parts.platform);
    if (!asked || payload !== installPayload || retained || !this.announced.has(asked.device)) return;
    const key = `${asked.device}/${asked.kind}`;
    const last = this.installs.get(key);
    if (last !== undefined && performance.now() - last < repeatMs) return;
    if (this.installing >= mostInstalls) {
      this.parts.log.warn({ device: asked.device }, 'too many installations at once; try again');
      return;
    }
    this.installs.set(key, performance.now());
    this.installing++;
    this.install(asked.device, asked.kind, user)
      .then(() => this.problems.delete(key))
      .catch((error: unknown) => {
        this.installs.delete(key);
        const { log } = this.parts;
        log.warn({ err: error, device: asked.device }, 'could not start an update for Home Assistant');
        this.problems.set(key, error instanceof AiotError ? error.message : 'internal error');
      })
      .finally(() => {
        this.installing--;
      });
  }

  private async install(name: string, kind: InstallKind, user: HomeMessage['user']): Promise<void> {
    const { rollouts, log } = this.parts;
    const who = await this.allowed(name, user);
    if (this.newest) this.newest.at = Number.NEGATIVE_INFINITY;
    const releases = await this.releases();
    const device = this.announced.get(name)?.device;
    const target = device && targetOf(kind, device, releases);
    const installable = device && installableOf(kind, device, releases);
    if (!target || !installable || installable.installed === installable.latest) return;
    const { version, sequence } = target;
    // Never takes a device away from another rollout.
    const policy = { priority: -100 };
    const release = { kind, name: installable.title, version, sequence };
    const { id } = await rollouts.start({ releases: [release], selector: `name=${name}`, policy }, who);
    log.info({ device: name, rollout: id, who }, 'Home Assistant started an update');
  }

  /** Returns the user who installs an update, as named in events; the rules are those of `POST /rollouts`. @throws AIOT_NOT_ALLOWED */
  private async allowed(device: string, publisher: HomeMessage['user']): Promise<string> {
    const { users, denials, tokens } = this.parts;
    const refuse = (who: string, reason: string) => {
      denials.note({ who, what: 'home-assistant install', reason, address: device });
      return new AiotError('AIOT_NOT_ALLOWED', `${who}: ${reason}`);
    };
    if (this.link?.knowsUsers) {
      // The token may have been revoked since the client connected.
      const user = publisher && (await tokens.identityOf(publisher.token));
      if (!user) throw refuse(publisher?.name ?? 'nobody', 'invalid token');
      if (!atLeast(user.role, 'ci')) throw refuse(user.name, 'starting a rollout requires the role ci');
      const isInScope = user.scopes?.some((scope) => scopeCovers(scope, 'rollouts:write')) ?? true;
      if (!isInScope) throw refuse(user.name, 'starting a rollout requires the scope rollouts:write');
      if (user.reach !== null && !user.reach.has(device))
        throw refuse(user.name, 'the device is beyond the limits of the token');
      return user.name;
    }
    const { installs } = this.definition;
    if (installs === null) throw refuse('nobody', 'integrations.homeAssistant.installs names no user');
    const user = await unless('AIOT_NOT_FOUND', users.get(installs));
    if (!user || user.disabled !== null)
      throw refuse(`user ${installs}`, 'the user does not exist, or is disabled');
    // The account may have ended at the provider, which is asked only when the user's logins are used.
    if (await users.isFromProvider(installs))
      throw refuse(
        `user ${installs}`,
        'the user logs in through the provider; name a local user in installs',
      );
    if (!atLeast(user.role, 'ci'))
      throw refuse(`user ${installs}`, 'starting a rollout requires the role ci');
    const reach = reachOf(user.selector === null ? [] : [user.selector], this.parts.devices);
    if (reach !== null && !reach.has(device))
      throw refuse(`user ${installs}`, 'the device is beyond the limits of the user');
    return `user ${installs}`;
  }
}

/** Kinds of models' outputs. Each model is read once, because every tick needs those of all devices. */
export class Answers {
  private readonly known = new Map<string, HomeDevice['answer']>();

  constructor(private readonly models: Pick<Models, 'get'>) {}

  /** Null = the model is unknown. */
  async of({ name, version }: { name: string; version: number }): Promise<HomeDevice['answer']> {
    const key = `${name}@${version}`;
    const cached = this.known.get(key);
    if (cached !== undefined) return cached;
    const model = await unless('AIOT_NOT_FOUND', this.models.get(name, version));
    const answer = answerIn(model?.answer?.kind);
    if (this.known.size > 1000) this.known.clear();
    this.known.set(key, answer);
    return answer;
  }
}

function answerIn(kind: string | undefined): HomeDevice['answer'] {
  if (kind === undefined) return null;
  return kind === 'classes' || kind === 'probability' || kind === 'reconstruction' ? kind : 'value';
}

/** The part of an inference that Home Assistant shows: of the scores, only the first and the highest, because a message may have 1 MiB. */
export function summaryOf({ label, voted, scores = [], value }: Inference): HomeState['inference'] {
  const [first] = scores;
  return { label, voted, value, scores: first === undefined ? [] : [first, highest(scores)] };
}

function sameReleases(a: Newest, b: Newest): boolean {
  const text = ({ firmware, models }: Newest) => JSON.stringify([[...firmware], [...models]]);
  return text(a) === text(b);
}

/** Repeats a task after a pause until the signal is aborted. */
export async function repeat(signal: AbortSignal, task: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await task();
    await delay(tickMs, undefined, { signal }).catch(() => {});
  }
}

/** Waits until all tasks have ended. The first failure ends the others, and is thrown. */
export async function together(tasks: Promise<void>[], ending: AbortController): Promise<void> {
  const failures: unknown[] = [];
  const settled = tasks.map((task) =>
    task.catch((error: unknown) => {
      if (!ending.signal.aborted) failures.push(error);
      ending.abort();
    }),
  );
  await Promise.all(settled);
  if (failures.length > 0) throw failures[0];
}

/** Spaces messages evenly. */
class Pace {
  private next = 0;

  constructor(private readonly perSecond: number) {}

  async wait(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const pause = this.next - now;
    this.next = Math.max(this.next, now) + 1000 / this.perSecond;
    if (pause > 0) await delay(pause, undefined, { signal }).catch(() => {});
  }
}

/** Publishes a message, unless the signal is aborted first: without a connection, an acknowledgment never arrives. */
async function publish(
  link: HomeLink,
  signal: AbortSignal,
  topic: string,
  payload: string,
  retain: boolean,
): Promise<void> {
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = onAbort(signal, () => reject(signal.reason));
  });
  await Promise.race([link.publish(topic, payload, retain), aborted]).finally(stop);
}

/** A suspended device is shown, but is not available. */
function isShown({ state }: DeviceRecord): boolean {
  return state === 'provisioned' || state === 'active' || state === 'suspended';
}

/** Reads a discovery message of this platform. Its parts are checked, because other clients of the broker can replace it. */
function knownOf(payload: string): Known {
  const known: Known = { digest: sha256Hex(payload), components: {}, availability: null };
  let value: Partial<Discovery> | null;
  try {
    value = JSON.parse(payload) as Partial<Discovery> | null;
  } catch {
    return known;
  }
  const { components, availability } = value ?? {};
  for (const [key, component] of Object.entries(components ?? {}))
    if (typeof component?.platform === 'string') known.components[key] = component.platform;
  const last: unknown = Array.isArray(availability) ? availability.at(-1)?.topic : null;
  if (typeof last === 'string' && !/[+#\0]/.test(last)) known.availability = last;
  return known;
}

/** The newest release of a kind for a device: of its firmware by name, or of its model in production. */
function targetOf(
  kind: InstallKind,
  { type, reported }: Pick<HomeDevice, 'type' | 'reported'>,
  { firmware, models }: Newest,
): { version: number; sequence: number } | null {
  if (kind === 'model') return (reported?.model && models.get(reported.model.name)) ?? null;
  // Firmware that cannot be updated over the air reports no release.
  const { name, release } = reported?.firmware ?? {};
  const wanted = release?.name ?? name;
  if (release === undefined || wanted === undefined) return null;
  const newest = firmware.get(wanted);
  return newest?.deviceTypes.includes(type) ? newest : null;
}

function installableOf(
  kind: InstallKind,
  device: Pick<HomeDevice, 'type' | 'reported'>,
  releases: Newest,
): Installable | null {
  const target = targetOf(kind, device, releases);
  const { firmware, model } = device.reported ?? {};
  if (!target) return null;
  const latest = String(target.version);
  if (kind === 'model') return model ? { title: model.name, installed: String(model.version), latest } : null;
  if (!firmware) return null;
  const { release, name = '', version } = firmware;
  return release
    ? { title: release.name, installed: String(release.version), latest }
    : { title: name, installed: version, latest };
}
