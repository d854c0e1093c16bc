import { existsSync } from 'node:fs';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { PlatformUrls } from '../api/api.js';
import { type ProjectAlarmsApplied, withTargets } from '../api/contract/alarm-targets.js';
import type { CommandsApplied } from '../api/contract/commands.js';
import type { IntegrationApplied, SettingsApplied } from '../api/contract/settings.js';
import { sha256Hex } from '../core/crypto.js';
import { aiotVersion } from '../core/folders.js';
import { preload } from '../core/process.js';
import { systemClock } from '../core/time.js';
import type { TraceContext } from '../core/trace.js';
import { loginUrl } from './access/logins.js';
import { type Broker, openBroker } from './broker/broker.js';
import type { ExternalParts } from './broker/external.js';
import {
  type IngestPlan,
  planIngest,
  type SharedIngest,
  startSharedIngest,
} from './broker/ingest-engines.js';
import { type Doors, openDoors } from './broker/listeners.js';
import { calloutKeys, writeNatsAuth } from './broker/nats-config.js';
import type { BrokerCounts } from './broker/session-log.js';
import { openTls } from './certificates.js';
import { guidePorts, startGuide } from './compat/start.js';
import { type ConditionParts, conditionOf, listenerWarnings } from './condition.js';
import { Connections, descriptorLimit, limitsFor } from './connections.js';
import { type Datasets, datasetsOf } from './datasets/datasets.js';
import { sweeper } from './datasets/orphans.js';
import { Ddi } from './ddi/ddi.js';
import { openPlainDdi, type PlainDdi } from './ddi/routes.js';
import { DeviceCommands } from './devices/calls.js';
import { Deltas, DesiredStates, type PublishRetained } from './devices/desired.js';
import { Fleet } from './devices/fleet.js';
import { SharedPresence } from './devices/presence.js';
import { RemoteAccess } from './devices/remote.js';
import { RemotePeers } from './devices/remote-peers.js';
import { keepRevocationList } from './devices/revocations.js';
import { DeviceSettingsService } from './devices/settings.js';
import { SettingsRollouts } from './devices/settings-rollouts.js';
import { type LiveHub, liveHub } from './devices/talk.js';
import { openingError } from './errors.js';
import { Alarms } from './events/alarms.js';
import { HomeAssistantService } from './events/home-assistant.js';
import { SparkplugService } from './events/sparkplug.js';
import { openEvents } from './events/start.js';
import { createApp } from './http/app.js';
import { HttpFigures } from './http/metrics.js';
import { datasetsSeen, ingest } from './ingest.js';
import type { Entry } from './journal/entry.js';
import { Lifecycle, PartTable } from './lifecycle.js';
import { certifiedHosts, listenOn, reachableHost } from './listen.js';
import { createLog } from './log.js';
import { DiskFigures } from './metrics.js';
import { Objectives } from './objectives.js';
import { type Platform, type PlatformOptions, usualDdiPollMs } from './options.js';
import { Otlp } from './otlp.js';
import { rolloutStoreIn } from './releases/rollout-store.js';
import { Rollouts } from './releases/rollouts.js';
import { Replicas } from './replicas.js';
import { forgetRunning, lockFolder, noteRunning } from './running.js';
import { openState, type StateOptions } from './state.js';
import { whenSound } from './store/engine.js';
import { type StoreMessage, traceRollout } from './traces.js';
import { ledgerIn, ledgerWhenSound } from './verify/ledger.js';
import { startRoles, type Worker, WorkerStates } from './workers.js';

/**
 * Starts the platform: locks its folder, opens its state, and listens. Shared by `aiot up` and the demo. On failure, everything already
 * opened is closed again.
 * @throws AIOT_PLATFORM_RUNNING, AIOT_PORT_IN_USE, AIOT_DISK_FULL, AIOT_FILE_NOT_WRITABLE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const parts = new Lifecycle();
  const end = async () => {
    try {
      await parts.end();
    } catch (error) {
      throw openingError(error, options.dataDir);
    }
  };
  try {
    const started = await startParts(options, parts);
    const { urls, ca, token, load, streams, loginLink } = started;
    const { applyAlarms, applyCommands, applySettings, applyHomeAssistant, applySparkplug } = started;
    let stopped: Promise<void> | undefined;
    return {
      urls,
      ca,
      load,
      streams,
      applyAlarms,
      applyCommands,
      applySettings,
      applyHomeAssistant,
      applySparkplug,
      loginLink,
      tracer: started.tracer,
      ...(token === undefined ? {} : { token }),
      stop: () => {
        stopped ??= end();
        return stopped;
      },
    };
  } catch (error) {
    // Ignored, because the cause of the failed start also explains errors during closing.
    await end().catch(() => {});
    throw openingError(error, options.dataDir);
  }
}

/** A request to the API creates about as many objects as this number of messages. */
const messagesPerRequest = 10;

async function startParts(options: PlatformOptions, lifecycle: Lifecycle) {
  const { host = '127.0.0.1', clock = systemClock } = options;
  const urls: PlatformUrls = { http: '', mqtts: '' };
  const otlp = options.otlp && new Otlp(options.otlp);
  const log = await createLog(options.log, otlp && ((line) => otlp.line(line)));
  const now = () => clock.now();
  // Rejected before anything is created; the platform's id is not known yet.
  ingestPlanOf(options.engines, '');
  const base = { options, lifecycle, host, urls, log, now, otlp, disk: new DiskFigures() };
  const http = new HttpFigures();
  const ground = { ...base, http, later: {} };
  const started = await platformParts.start(ground, lifecycle);
  const { folder, state, broker, alarms, commands, settings, outgoing, token } = started;
  const { homeAssistant, sparkplug } = started;
  folder.keep();
  log.debug({ urls }, 'ready');
  preload(() => import('../model/index.js'));
  const { tokens, logins, authority } = state;
  const loginLink = async (shown: string) => {
    const user = await tokens.identify(shown);
    return user && loginUrl(urls.http, (await logins.link(user)).code);
  };
  const applyAlarms: Platform['applyAlarms'] = async ({ project, alarms: wanted, targets }) => {
    let applied: ProjectAlarmsApplied | null = null;
    await whenSound(state.engine, async () => {
      const changes = await alarms.apply({ project, alarms: wanted }, 'platform');
      applied = withTargets(changes, await outgoing.alarmTargets.apply({ project, targets }, 'platform'));
    });
    return applied;
  };
  const applyCommands: Platform['applyCommands'] = async (request) => {
    let applied: CommandsApplied | null = null;
    await whenSound(state.engine, async () => {
      applied = await commands.apply(request, 'platform');
    });
    return applied;
  };
  const { figures, streams } = broker;
  const applySettings: Platform['applySettings'] = async (request) => {
    let applied: SettingsApplied | null = null;
    await whenSound(state.engine, async () => {
      applied = await settings.apply(request, 'platform');
    });
    return applied;
  };
  const applyHomeAssistant: Platform['applyHomeAssistant'] = async (request) => {
    let applied: IntegrationApplied | null = null;
    await whenSound(state.engine, async () => {
      applied = await homeAssistant.apply(request, 'platform');
    });
    return applied;
  };
  const applySparkplug: Platform['applySparkplug'] = async (request) => {
    let applied: IntegrationApplied | null = null;
    await whenSound(state.engine, async () => {
      applied = await sparkplug.apply(request, 'platform');
    });
    return applied;
  };
  const apply = { applyAlarms, applyCommands, applySettings, applyHomeAssistant, applySparkplug };
  const load = () => figures.received + messagesPerRequest * http.requests;
  return { urls, ca: authority.file, token, load, streams, ...apply, loginLink, tracer: otlp?.tracer };
}

/** Dependencies available to every part. */
interface Ground {
  options: PlatformOptions;
  /** URLs of the listeners, filled in as they open. */
  urls: PlatformUrls;
  host: string;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  disk: DiskFigures;
  http: HttpFigures;
  /** The platform's own traces, metrics and logs; undefined = they are not sent. */
  otlp: Otlp | undefined;
  lifecycle: Lifecycle;
  /** Parts that start later in the table, but that earlier parts call. */
  later: { broker?: Broker; mqtt?: Doors; plainDdi?: PlainDdi };
}

type State = Awaited<ReturnType<typeof openState>>;

const close = (part: { close(): unknown }) => part.close();
const call = (end: () => unknown) => end();

/** The platform's parts: each part's name, how it starts, and how it ends. */
const platformParts = new PartTable<Ground>()
  .part(
    'folder',
    ({ options }) => takeFolder(options.dataDir),
    (it) => it.leave(),
  )
  .part(
    'sending',
    ({ otlp, log }) => otlp?.start(log),
    (it) => it?.close(),
  )
  .part('state', (ground) => openState(stateOptions(ground), ground.lifecycle))

  // Desired states of devices, and the broker that publishes them.
  .part('deltas', ({ state: { store, blobs }, now }) => new Deltas({ store, blobs, now }), close)
  .part('desired', desiredOf)
  .part('rollouts', rolloutsOf)
  .part('revocations', openRevocations, close)
  .part('natsAuth', ({ options: { dataDir }, state: { authority } }) =>
    writeNatsAuth(join(dataDir, 'pki'), calloutKeys(authority)),
  )
  .part('ingestPlan', ({ options: { engines }, state: { authority } }) =>
    ingestPlanOf(engines, sha256Hex(authority.certificate).slice(0, 16)),
  )
  .part('broker', startBroker, close)
  .part('ingest', startIngest, (it) => it?.close())
  .part('otherReplicas', followReplicas, call)
  .part('restored', async ({ desired, rollouts, options: { engines }, state: { devices } }) => {
    await desired.restore(devices.records(), engines?.broker !== undefined);
    await rollouts.load();
  })
  .part('cutOff', ({ broker, state }) => state.devices.watch((name) => broker.disconnect(name)), call)
  .part('presence', sharePresence, call)
  .part('rolloutWatch', ({ rollouts }) => rollouts.watch(), call)

  // Background work.
  .part('datasets', ({ state: { telemetry, labels, damages } }) =>
    datasetsOf(telemetry, labels, (stream) => damages.ofStream(stream)),
  )
  .part('outgoing', ({ options, state, datasets, log, now }) =>
    openEvents({ ...state, dataDir: options.dataDir, datasets, log, now, relayTo: relayOf(options) }),
  )
  .part('alarms', ({ state, log, now, otlp }) => new Alarms({ ...state, log, now, traces: otlp?.messages }))
  .part('live', ({ state, log }) => liveHub(state.telemetry.reader, log), close)
  .part('commands', ({ state, broker, live, now }) => new DeviceCommands({ ...state, broker, live, now }))
  .part('settings', ({ state, desired, now }) => new DeviceSettingsService({ ...state, desired, now }))
  .part('replicas', replicasOf)
  .part('peers', ({ options, host, urls, state, replicas, now }) => {
    const { engine, authority } = state;
    return new RemotePeers({ engine, authority, replicas, url: replicaUrlOf({ options, host, urls }), now });
  })
  .part(
    'remote',
    async ({ options: { dataDir, recordShells: records }, state, peers, log, now }) => {
      const remote = new RemoteAccess({ ...state, dataDir, peers, records, log, now });
      await whenSound(state.engine, () => remote.recover());
      return remote;
    },
    close,
  )
  .part('homeAssistant', homeAssistantOf)
  .part('sparkplug', ({ state, broker, log, now }) => new SparkplugService({ ...state, broker, log, now }))
  .part('begun', ({ state, outgoing }) => whenSound(state.engine, outgoing.begin))
  .part(
    'objectives',
    ({ state: { store, devices }, disk, now }) => {
      const objectives = new Objectives({ store, devices, ingest: disk.ingest, now });
      return Object.assign(objectives, { end: objectives.start() });
    },
    (it) => it.end(),
  )
  .part('workers', () => new WorkerStates())
  .part('background', startBackground, (it) => it.end())

  // Dependencies of the API.
  .part('certificates', openCertificates, close)
  .part('connections', openConnections, close)
  .part('fleet', fleetOf)
  .part('ddi', ddiOf)

  // Listeners. Open connections of the plain one are closed when the API has ended.
  .part('plainDdiCut', cutPlainDdi, call)
  .part('app', startApp, close)
  .part('routes', ({ app }) => app.ready())
  .part('guide', startGuideServices, (it) => it?.close())
  .part('https', listenToHttps)
  .part('plainDdi', startPlainDdi, (it) => it?.stop())
  .part('mqtt', startMqtt, close)
  .part('replicaShared', ({ replicas }) => replicas.start(), call)
  .part('note', noteStart, call)

  // The token is issued last. If a later part failed, the token would never be shown, but would prevent a new token
  // from being issued.
  .part('token', firstToken);

/** Files that a start creates before anything else: its locks and its log. */
const lockFiles = ['lock', 'lock-journal'];
const startFiles = new Set([...lockFiles, 'platform.log']);

/**
 * Locks the data folder for this process. If the first start fails, everything that the start created is removed,
 * because its token was never shown.
 */
async function takeFolder(dataDir: string): Promise<{ keep(): void; leave(): Promise<void> }> {
  const contents = async () => (await readdir(dataDir)).filter((name) => !startFiles.has(name));
  // An empty folder may be a mount point, or have particular permissions.
  const existed = existsSync(dataDir);
  const release = await lockFolder(dataDir);
  let kept = (await contents()).length > 0;
  return {
    keep() {
      kept = true;
    },
    async leave() {
      if (!kept)
        for (const name of await contents()) await rm(join(dataDir, name), { recursive: true, force: true });
      release();
      if (kept) return;
      for (const name of lockFiles) await rm(join(dataDir, name), { force: true });
      if (!existed) await rmdir(dataDir).catch(() => {});
    },
  };
}

function stateOptions({ options, log, now, disk }: Ground): StateOptions {
  const { dataDir, sync, engines, secret, caPassphrase, provider, rates, checkAtOnce } = options;
  return {
    dataDir,
    now,
    log,
    sync,
    disk,
    engines,
    secret,
    caPassphrase,
    provider,
    failures: rates?.failures,
    checkAtOnce,
  };
}

type WithState = Ground & { state: State };
type WithWishes = WithState & { deltas: Deltas; desired: DesiredStates };
type WithRollouts = WithWishes & { rollouts: Rollouts };
type WithBroker = WithRollouts & { ingestPlan: IngestPlan | null; broker: Broker };
type WithApi = WithBroker & {
  ingest: SharedIngest | undefined;
  certificates: Certificates;
  connections: Connections;
  app: FastifyInstance;
};
type Certificates = Awaited<ReturnType<typeof openTls>>;

function desiredOf({ state: { store, events }, deltas, later }: WithState & { deltas: Deltas }) {
  const publish: PublishRetained = (topic, payload) =>
    (later.broker as Broker).publish({ topic, payload, retain: true });
  return new DesiredStates(store, publish, events, deltas);
}

function rolloutsOf({ state, desired, deltas, now, otlp }: WithWishes): Rollouts {
  const { store, blobs, engine, events, devices, models, firmware, configs } = state;
  const tracer = otlp?.tracer;
  const settings = new SettingsRollouts({ store, events, devices, desired, now });
  const rollouts = new Rollouts({
    store: rolloutStoreIn(
      store,
      events,
      desired,
      engine.turns,
      tracer && ((before, step) => traceRollout(tracer, before, step)),
      settings,
    ),
    ...{ blobs, devices, models, firmware, configs, desired, settings, deltas },
    changes: engine.changes,
    now,
  });
  state.crashes.listen((device, report, cause) => rollouts.crashed(device, report, cause));
  return rollouts;
}

function openRevocations({ options, log, now, state: { store, devices, authority } }: WithState) {
  return keepRevocationList({
    ...{ file: join(options.dataDir, 'pki', 'devices.crl'), store, devices, authority, now, log },
    follow: options.engines?.broker !== undefined,
  });
}

function replicasOf({ options, state: { engine }, host, urls, broker, log, now }: WithBroker): Replicas {
  const started = now();
  const url = replicaUrlOf({ options, host, urls });
  const facts = () => ({
    ...{ url: urls.http, version: aiotVersion(), started },
    received: broker.figures.received,
  });
  return new Replicas({ engine, facts, url, log, now });
}

/** The address of this replica for others. Behind a load balancer, the address for clients is the same for all replicas. */
function replicaUrlOf({ options, host, urls }: Pick<WithState, 'options' | 'host' | 'urls'>): () => string {
  return () => options.replicaUrl ?? `https://${reachableHost(host)}:${new URL(urls.http).port}`;
}

/** How an external broker's messages reach this replica; null with the embedded broker. */
function ingestPlanOf(engines: PlatformOptions['engines'], platform: string): IngestPlan | null {
  return engines === undefined ? null : planIngest(engines, platform);
}

/** Stores a device's message; resolves once it is durable. */
function storingOf({ state, desired, rollouts, now, otlp, disk }: WithRollouts): StoreMessage {
  const { devices, events, store, telemetry, attention, crashes } = state;
  const seen = datasetsSeen(store, events);
  const rejected = (device: string, message: string) => attention.rejected(device, message);
  const traces = otlp?.messages;
  const traced = traces && ((entry: Entry, trace: TraceContext) => traces.remember(entry, trace));
  const parts = { telemetry, devices, desired, rollouts, crashes, now, seen, rejected, traced };
  if (!traces) return (topic, payload) => disk.stored(ingest(parts, topic, payload));
  return (topic, payload, origin) =>
    disk.stored(traces.store({ topic, payload, origin }, (trace) => ingest(parts, topic, payload, trace)));
}

function startIngest(started: WithBroker): Promise<SharedIngest> | undefined {
  const { broker, ingestPlan: plan, log } = started;
  if (!plan?.shared) return undefined;
  const { figures } = broker;
  return startSharedIngest(plan.shared, { ingest: storingOf(started), figures, log });
}

async function startBroker(
  started: WithRollouts & {
    revocations: { changed: ExternalParts['cutOff'] };
    ingestPlan: IngestPlan | null;
  },
): Promise<Broker> {
  const { options, log, now, disk, later, state, revocations, ingestPlan } = started;
  const plan = ingestPlan?.broker ?? null;
  const { authority, devices, engine, store, tokens, sessions, secrets, failures, damages } = state;
  const { engines, brokerLimits, readers = {} } = options;
  const broker = await openBroker(
    plan && {
      ...{ plan, leader: engine.leader, cutOff: revocations.changed, controlUrls: engines?.brokerControl },
      callout: calloutKeys(authority),
    },
    {
      ...{ devices, tokens, sessions, secrets, failures },
      ...(brokerLimits ? { limits: brokerLimits } : {}),
      unavailable: () => engine.soundness.pending || engine.soundness.damage !== null,
      ...{ log, now, sync: disk.sync('sessions', options.sync), folder: join(options.dataDir, 'broker') },
      onCommit: disk.commits('sessions'),
      damage: (findings) => damages.note(findings),
      denied: (denial) => state.denials.note(denial),
      // Processes that share a database have separate logs.
      ...(engines?.database === undefined
        ? { ledger: ledgerWhenSound(ledgerIn<BrokerCounts>(store, 'broker'), engine.soundness) }
        : {}),
      ...{ ingest: storingOf(started), traces: started.otlp?.messages },
    },
  );
  for (const [name, filter] of Object.entries(readers)) broker.streams.expect(name, filter);
  later.broker = broker;
  return broker;
}

/**
 * Publishes other replicas' changes on this replica's own broker. An external broker already receives them from the
 * replica that makes the changes.
 */
function followReplicas({ options, state, desired }: WithWishes): () => void {
  return options.engines?.broker === undefined ? desired.watch(state.engine.changes) : () => {};
}

/**
 * Shares the connections of this replica's broker with the other replicas. With an external broker, every replica sees the presence of all
 * devices there.
 */
function sharePresence({ options, state, log, now }: WithState): () => unknown {
  const { store, devices, engine } = state;
  if (options.engines?.broker !== undefined || !engine.changes.shared) return () => {};
  return new SharedPresence({ store, devices, log, now }).start();
}

function isGuide({ compat }: PlatformOptions): boolean {
  return compat?.includes('architects-guide') ?? false;
}

/** Destination for events; none with the guide's services, because `events` is then the URL of their Kafka. */
function relayOf(options: PlatformOptions): string | undefined {
  return isGuide(options) ? undefined : options.engines?.events;
}

function homeAssistantOf({
  state,
  rollouts,
  outgoing,
  broker,
  urls,
  log,
  now,
}: WithBroker & { outgoing: { platform: string } }): HomeAssistantService {
  const { store, events, devices, telemetry, models, firmware, tokens, users, denials } = state;
  return new HomeAssistantService({
    ...{ store, events, devices, telemetry, models, firmware, tokens, users, denials, rollouts, broker },
    ...{ platform: outgoing.platform, version: aiotVersion(), url: () => urls.http, log, now },
  });
}

/** Starts the workers, now or once the database check is complete, and logs whether the database is sound. */
async function startBackground(
  started: WithWishes & {
    rollouts: Rollouts;
    outgoing: { workers: Worker[] };
    alarms: Alarms;
    commands: DeviceCommands;
    settings: DeviceSettingsService;
    homeAssistant: HomeAssistantService;
    sparkplug: SparkplugService;
    workers: WorkerStates;
  },
) {
  const { log, state, rollouts, outgoing, alarms, commands, settings, workers } = started;
  const { homeAssistant, sparkplug } = started;
  const { audit, engine, retention, orphans, scrub, attention, drift, crashes, history, pipelineRequests } =
    state;
  const all = [
    ...rollouts.workers(),
    retention.worker(),
    sweeper({ orphans, log }),
    scrub.worker(),
    attention.worker(),
    drift.worker(),
    crashes.worker(),
    history.worker(),
    alarms.worker(),
    commands.worker(),
    settings.worker(),
    homeAssistant.worker(),
    sparkplug.worker(),
    audit.worker(),
    pipelineRequests.worker(),
  ];
  let end: () => Promise<void> | undefined = () => undefined;
  let ending = false;
  await whenSound(engine, async () => {
    if (!ending) end = startRoles([...all, ...outgoing.workers], engine.leader, log, workers);
  });
  if (engine.soundness.pending) {
    log.warn('checking the database: until then it is read-only, and devices cannot connect');
    void engine.soundness.known().then((sound) => {
      if (sound) log.warn('the database is intact');
      else if (!ending) log.error({ err: engine.soundness.damage }, 'the database is damaged and read-only');
    });
  }
  return {
    end: () => {
      ending = true;
      return end();
    },
  };
}

function openCertificates({ options, host, now, log, state }: WithState): Promise<Certificates> {
  const hosts = certifiedHosts(host, options.names);
  return openTls({ authority: state.authority, hosts, given: options.serverCertificate, now, log });
}

async function openConnections({ options, log }: Ground): Promise<Connections> {
  return new Connections({ ...limitsFor(await descriptorLimit()), ...options.connectionLimits }, log);
}

function fleetOf(started: WithBroker & { alarms: Alarms }): Fleet {
  const { now, state, broker, desired, rollouts, alarms } = started;
  const { devices, events } = state;
  return new Fleet({
    ...{ devices, events, now },
    async ended(name) {
      broker.disconnect(name);
      await rollouts.revoked(name);
    },
    async removed(name) {
      await desired.forget(name);
      await alarms.forget(name);
    },
  });
}

function ddiOf({ options, state, desired, rollouts, now, fleet }: WithBroker & { fleet: Fleet }): Ddi {
  const { turns } = state.engine;
  const pollMs = options.ddiPollMs ?? usualDdiPollMs;
  return new Ddi({ ...state, turns, desired, rollouts, fleet, now, pollMs });
}

async function startApp(
  started: Omit<WithApi, 'app'> & {
    outgoing: Awaited<ReturnType<typeof openEvents>>;
    alarms: Alarms;
    commands: DeviceCommands;
    settings: DeviceSettingsService;
    datasets: Datasets;
    live: LiveHub;
    remote: RemoteAccess;
    peers: RemotePeers;
    fleet: Fleet;
    ddi: Ddi;
    workers: WorkerStates;
    replicas: Replicas;
    objectives: Objectives;
  },
): Promise<FastifyInstance> {
  const { options, urls, log, now, disk, later, state, certificates, outgoing, broker } = started;
  const { alarms, commands, desired, rollouts, connections, datasets, live, fleet, ddi, workers } = started;
  const { replicas, settings, objectives, remote, peers } = started;
  const { jobs, webhooks, alarmTargets, relay, sender } = outgoing;
  return createApp(
    {
      ...state,
      ...{
        alarms,
        alarmTargets,
        commands,
        settings,
        jobs,
        webhooks,
        relay,
        sender,
        broker,
        datasets,
        desired,
        ddi,
        fleet,
        rollouts,
        live,
        connections,
        replicas,
        objectives,
        remote,
        peers,
      },
      ...{ dataDir: options.dataDir, ca: state.authority.certificate, disk, workers, log, now },
      http: started.http,
      ...{ started: now(), version: aiotVersion(), rates: options.rates, drainMs: options.drainMs },
      liveBeatMs: options.liveBeatMs,
      urls: () => urls,
      condition: () => conditionOf(conditionParts(started)),
      otlp: started.otlp,
      ingestBacklog: () => started.ingest?.backlog(),
      brokerTrouble: () => troubleOf(broker, later.mqtt) ?? started.ingest?.trouble() ?? null,
    },
    certificates.api,
  );
}

function conditionParts(started: Omit<WithApi, 'app'>): ConditionParts {
  const { options, urls, now, state, certificates, ingestPlan } = started;
  const { engine, devices, enrollments, scrub, damages, orphans, authority } = state;
  const { dataDir, engines } = options;
  return {
    ...{ dataDir, engine, engines, devices, urls: () => urls, now, scrub, damages },
    ingest: ingestPlan?.engine ?? 'embedded',
    missing: () => orphans.missing,
    waiting: () => enrollments.waiting(),
    otlp: () => started.otlp?.trouble() ?? null,
    certificates: { ca: authority.certificate, server: certificates.current() },
  };
}

function troubleOf(broker: Broker, doors: Doors | undefined): string | null {
  if (doors === undefined) return 'it does not listen yet';
  return doors.listening() ? broker.trouble() : 'it does not listen';
}

async function startGuideServices({ options, host, urls, log, now, state, broker, ...more }: WithApi) {
  const { compatPorts: ports = guidePorts, compatDeleteAll = false, compatMaxRows = 10 } = options;
  if (!isGuide(options)) return null;
  const guide = await startGuide(
    {
      ...{ dataDir: options.dataDir, host, connections: more.connections, tls: more.certificates.guests },
      ...{ ports, deleteAll: compatDeleteAll, maxRows: compatMaxRows, drainMs: options.drainMs },
      ...{ quota: options.compatQuota, events: options.engines?.events },
    },
    { ...state, broker, log, now },
  );
  urls.guide = guide.urls;
  return guide;
}

async function listenToHttps({ options: { names, httpPort }, host, urls, app }: WithApi): Promise<void> {
  const port = await listenOn(app.server, host, httpPort, '--http-port');
  urls.http = `https://${reachableHost(host, names)}:${port}`;
}

function cutPlainDdi({ later }: Ground): () => void {
  return () => later.plainDdi?.cut();
}

async function startPlainDdi({ options, host, urls, later, app, connections }: WithApi) {
  if (options.ddiPort === undefined) return null;
  const plain = await openPlainDdi(app, connections, { host, port: options.ddiPort });
  later.plainDdi = plain;
  urls.ddi = `http://${reachableHost(host, options.names)}:${plain.port}`;
  return plain;
}

async function startMqtt({ options, host, urls, later, broker, ...more }: WithApi): Promise<Doors> {
  const { certificates, connections, ingestPlan } = more;
  const external = ingestPlan?.broker?.mqtt;
  const doors = await openDoors(broker, { ...options, external, host, tls: certificates.api, connections });
  later.mqtt = doors;
  Object.assign(urls, doors.urls);
  return doors;
}

/** Records in the folder which process runs the platform; the returned function removes the record. */
async function noteStart({
  options: { dataDir, restart },
  urls,
  log,
  state,
}: WithState): Promise<() => Promise<void>> {
  for (const { message } of listenerWarnings(urls)) log.warn(message);
  await noteRunning(dataDir, { urls, ca: state.authority.file, restart });
  return () => forgetRunning(dataDir);
}

/** Issues the operator's token if one is due at this start. */
async function firstToken({ options: { newToken, noToken }, state: { engine, tokens } }: WithState) {
  if (newToken) await engine.soundness.known();
  return engine.turns.of('first token')(async () =>
    newToken || !(noToken || (await tokens.any())) ? await tokens.issue() : undefined,
  );
}
