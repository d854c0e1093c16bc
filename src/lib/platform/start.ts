import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { sha256Hex } from '../core/crypto.js';
import { aiotVersion } from '../core/folders.js';
import { preload } from '../core/process.js';
import { systemClock } from '../core/time.js';
import type { PlatformUrls } from '../registry/api.js';
import { loginUrl } from './access/users.js';
import { type Broker, openBroker } from './broker/broker.js';
import type { ExternalParts } from './broker/external.js';
import { type Doors, openDoors } from './broker/listeners.js';
import type { BrokerCounts } from './broker/session-log.js';
import { openTls, type TlsOptions } from './certificates.js';
import { type GuideOptions, guidePorts, startGuide } from './compat/start.js';
import { type ConditionParts, conditionOf, listenerWarnings } from './condition.js';
import { Connections, descriptorLimit, limitsFor } from './connections.js';
import { datasetsOf } from './datasets/datasets.js';
import { sweeper } from './datasets/orphans.js';
import { Ddi } from './ddi/ddi.js';
import { openPlainDdi, type PlainDdi } from './ddi/routes.js';
import { Deltas, DesiredStates, type PublishRetained } from './devices/desired.js';
import { Fleet } from './devices/fleet.js';
import { keepRevocationList } from './devices/revocations.js';
import { liveHub } from './devices/talk.js';
import { openingError } from './errors.js';
import { openEvents } from './events/start.js';
import { createApp } from './http/app.js';
import { datasetsSeen, ingest } from './ingest.js';
import { Lifecycle } from './lifecycle.js';
import { certifiedHosts, listenOn, reachableHost } from './listen.js';
import { createLog } from './log.js';
import { DiskFigures } from './metrics.js';
import { type Platform, type PlatformOptions, usualDdiPollMs } from './options.js';
import { rolloutStoreIn } from './releases/rollout-store.js';
import { Rollouts } from './releases/rollouts.js';
import { forgetRunning, lockFolder, noteRunning } from './running.js';
import { openState, type StateOptions } from './state.js';
import { whenSound } from './store/engine.js';
import { ledgerIn, ledgerWhenSound } from './verify/ledger.js';
import { startWorkers, type Worker, WorkerStates } from './workers.js';

/**
 * Starts the platform: locks its folder, opens what is there, and listens. The one code under `aiot up` and the demo.
 * Where it fails, all that it had opened is closed again.
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
    const { urls, ca, token, streams, loginLink } = await startParts(options, parts);
    let stopped: Promise<void> | undefined;
    return {
      urls,
      ca,
      streams,
      loginLink,
      ...(token === undefined ? {} : { token }),
      stop: () => {
        stopped ??= end();
        return stopped;
      },
    };
  } catch (error) {
    // Why it could not be opened is why it cannot be closed well, too.
    await end().catch(() => {});
    throw openingError(error, options.dataDir);
  }
}

/** The parts from the bottom up: how each starts, and how it ends. They end from the top down. */
async function startParts(options: PlatformOptions, parts: Lifecycle) {
  const { dataDir, host = '127.0.0.1', names = [], engines = {}, clock = systemClock } = options;
  const urls: PlatformUrls = { http: '', mqtts: '' };
  const log = await createLog(options.log);
  const now = () => clock.now();
  const ground: Ground = { options, urls, host, log, now, disk: new DiskFigures() };

  const folder = await parts.start(takeFolder(dataDir), (it) => it.leave());
  const state = await openState(stateOptions(ground), parts);
  const { authority, engine, store, tokens } = state;

  // What devices are to run, and the broker that tells them.
  const publish: PublishRetained = (topic, payload) => broker.publish({ topic, payload, retain: true });
  const deltas = await parts.start(new Deltas({ store, blobs: state.blobs, now }), (it) => it.close());
  const desired = new DesiredStates(store, publish, state.events, deltas);
  const rollouts = rolloutsOf(state, { desired, deltas, now });
  const revoked = await parts.start(openRevocations(ground, state), (it) => it.close());
  const broker = await parts.start(startBroker(ground, state, rollouts, revoked.changed), (it) => it.close());
  for (const [name, filter] of Object.entries(options.readers ?? {})) broker.streams.expect(name, filter);
  if (engines.broker === undefined) parts.atEnd(desired.watch(engine.changes));
  await desired.restore(state.devices.records());
  await rollouts.load();
  parts.atEnd(state.devices.watch((name) => broker.disconnect(name)));
  parts.atEnd(rollouts.watch());

  // Work in the background.
  const datasets = datasetsOf(state.telemetry, state.labels, (stream) => state.damages.ofStream(stream));
  const { begin, workers, ...told } = await openEvents({
    ...state,
    dataDir,
    datasets,
    log,
    now,
    relayTo: relayOf(options),
  });
  await whenSound(engine, begin);
  const states = new WorkerStates();
  const own = [
    rollouts.worker(),
    state.retention.worker(),
    sweeper({ orphans: state.orphans, log }),
    state.scrub.worker(),
  ];
  await parts.start(startBackground(ground, state, [...own, ...workers], states), (it) => it.end());

  // What the API is made of.
  const certificates = await parts.start(
    openTls({ authority, hosts: certifiedHosts(host, names), given: options.serverCertificate, now, log }),
    (it) => it.close(),
  );
  const live = await parts.start(liveHub(state.telemetry.reader, log), (it) => it.close());
  const connections = await parts.start(openConnections(ground), (it) => it.close());
  const fleet = fleetOf(ground, state, { broker, desired, rollouts });
  const ddi = new Ddi({
    ...state,
    turns: engine.turns,
    desired,
    rollouts,
    fleet,
    now,
    pollMs: options.ddiPollMs ?? usualDdiPollMs,
  });

  // Listeners. What is open on the plain one is cut when the API has ended.
  const doors: { mqtt?: Doors; plainDdi?: PlainDdi } = {};
  parts.atEnd(() => doors.plainDdi?.cut());
  const app = await parts.start(
    createApp(
      {
        ...state,
        ...told,
        dataDir,
        broker,
        datasets,
        desired,
        ddi,
        fleet,
        rollouts,
        live,
        connections,
        log,
        now,
        ca: authority.certificate,
        disk: ground.disk,
        workers: states,
        started: now(),
        version: aiotVersion(),
        urls: () => urls,
        rates: options.rates,
        drainMs: options.drainMs,
        condition: () => conditionOf(conditionParts(ground, state, certificates.current())),
        brokerTrouble: () => troubleOf(broker, doors.mqtt),
      },
      certificates.api,
    ),
    (it) => it.close(),
  );
  await app.ready();
  if (isGuide(options)) {
    const guide = await parts.start(
      startGuide(guideOptions(ground, connections, certificates.guests), { ...state, broker, log, now }),
      (it) => it.close(),
    );
    urls.guide = guide.urls;
  }
  const shown = reachableHost(host, names);
  urls.http = `https://${shown}:${await listenOn(app.server, host, options.httpPort, '--http-port')}`;
  if (options.ddiPort !== undefined) {
    const plain = await parts.start(openPlainDdi(app, connections, { host, port: options.ddiPort }), (it) =>
      it.stop(),
    );
    doors.plainDdi = plain;
    urls.ddi = `http://${shown}:${plain.port}`;
  }
  doors.mqtt = await parts.start(
    openDoors(broker, { ...options, host, tls: certificates.api, connections }),
    (it) => it.close(),
  );
  Object.assign(urls, doors.mqtt.urls);
  for (const { message } of listenerWarnings(urls)) log.warn(message);
  await parts.start(noteRunning(dataDir, { urls, ca: authority.file }), () => forgetRunning(dataDir));

  // Last of all that can fail: a token that nobody was told of could not be used, and would keep one from being made.
  const token = await firstToken(options, state);
  folder.keep();
  log.debug({ urls }, 'ready');
  preload(() => import('../model/index.js'));
  const loginLink = async (shown: string) => {
    const user = await tokens.identify(shown);
    return user && loginUrl(urls.http, (await state.logins.link(user)).code);
  };
  return { urls, ca: authority.file, token, streams: broker.streams, loginLink };
}

/** What every part may need. */
interface Ground {
  options: PlatformOptions;
  /** Filled as listeners open. */
  urls: PlatformUrls;
  host: string;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  disk: DiskFigures;
}

type State = Awaited<ReturnType<typeof openState>>;

/** Files that a start makes before anything else: its locks and its log. */
const lockFiles = ['lock', 'lock-journal'];
const startFiles = new Set([...lockFiles, 'platform.log']);

/** Takes the data folder for this process. Nobody was told of what a first start made before it failed: none of it is left for the next. */
async function takeFolder(dataDir: string): Promise<{ keep(): void; leave(): Promise<void> }> {
  const contents = async () => (await readdir(dataDir)).filter((name) => !startFiles.has(name));
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
      await rmdir(dataDir).catch(() => {});
    },
  };
}

function stateOptions({ options, log, now, disk }: Ground): StateOptions {
  const { dataDir, sync, engines, secret, caPassphrase, rates, checkAtOnce } = options;
  return {
    dataDir,
    now,
    log,
    sync,
    disk,
    engines,
    secret,
    caPassphrase,
    failures: rates?.failures,
    checkAtOnce,
  };
}

function rolloutsOf(
  state: State,
  { desired, deltas, now }: { desired: DesiredStates; deltas: Deltas; now: () => number },
): Rollouts {
  const { store, blobs, engine, events, devices, models, firmware, configs } = state;
  return new Rollouts({
    store: rolloutStoreIn(store, events, desired),
    ...{ blobs, devices, models, firmware, configs, desired, deltas },
    ...{ turns: engine.turns, changes: engine.changes },
    now,
  });
}

function openRevocations({ options, log, now }: Ground, { store, devices, authority }: State) {
  return keepRevocationList({
    ...{ file: join(options.dataDir, 'pki', 'devices.crl'), store, devices, authority, now, log },
    follow: options.engines?.broker !== undefined,
  });
}

function startBroker(
  { options, log, now, disk }: Ground,
  state: State,
  rollouts: Rollouts,
  cutOff: ExternalParts['cutOff'],
): Promise<Broker> {
  const { authority, devices, engine, store, telemetry, tokens, sessions, secrets, failures, damages } =
    state;
  const { engines, brokerLimits } = options;
  const seen = datasetsSeen(store, state.events);
  const platform = sha256Hex(authority.certificate).slice(0, 16);
  return openBroker(
    { url: engines?.broker, leader: engine.leader, platform, cutOff },
    {
      ...{ devices, tokens, sessions, secrets, failures },
      ...(brokerLimits ? { limits: brokerLimits } : {}),
      unavailable: () => engine.soundness.pending || engine.soundness.damage !== null,
      ...{ log, now, sync: disk.sync('sessions', options.sync), folder: join(options.dataDir, 'broker') },
      onCommit: disk.commits('sessions'),
      damage: (findings) => damages.note(findings),
      // Processes that share a database have a log each.
      ...(engines?.database === undefined
        ? { ledger: ledgerWhenSound(ledgerIn<BrokerCounts>(store, 'broker'), engine.soundness) }
        : {}),
      ingest: (topic, payload) => ingest({ telemetry, devices, rollouts, now, seen }, topic, payload),
    },
  );
}

function isGuide({ compat }: PlatformOptions): boolean {
  return compat?.includes('architects-guide') ?? false;
}

/** Where events go too. With the guide's services, that broker has the guide's topics and no others. */
function relayOf(options: PlatformOptions): string | undefined {
  return isGuide(options) ? undefined : options.engines?.events;
}

/** Has the workers run, now or once the database is known to be sound, and says in the log whether it is. */
async function startBackground({ log }: Ground, { engine }: State, workers: Worker[], states: WorkerStates) {
  let end: () => Promise<void> | undefined = () => undefined;
  let ending = false;
  await whenSound(engine, async () => {
    if (!ending) end = startWorkers(workers, engine.leader, log, 'platform', states);
  });
  if (engine.soundness.pending) {
    log.warn('the database is being checked; it can only be read, and devices cannot connect until then');
    void engine.soundness.known().then((sound) => {
      if (sound) log.warn('the database is sound');
      else if (!ending)
        log.error({ err: engine.soundness.damage }, 'the database is damaged; it can only be read');
    });
  }
  return {
    end: () => {
      ending = true;
      return end();
    },
  };
}

async function openConnections({ options, log }: Ground): Promise<Connections> {
  return new Connections({ ...limitsFor(await descriptorLimit()), ...options.connectionLimits }, log);
}

function fleetOf(
  { now }: Ground,
  { devices, events }: State,
  { broker, desired, rollouts }: { broker: Broker; desired: DesiredStates; rollouts: Rollouts },
): Fleet {
  return new Fleet({
    ...{ devices, events, now },
    async ended(name) {
      broker.disconnect(name);
      await rollouts.revoked(name);
    },
    removed: (name) => desired.forget(name),
  });
}

function conditionParts({ options, urls, now }: Ground, state: State, server: string): ConditionParts {
  const { engine, devices, scrub, damages, orphans, authority } = state;
  const { dataDir, engines } = options;
  return {
    ...{ dataDir, engine, engines, devices, urls: () => urls, now, scrub, damages },
    missing: () => orphans.missing,
    certificates: { ca: authority.certificate, server },
  };
}

function troubleOf(broker: Broker, doors: Doors | undefined): string | null {
  if (doors === undefined) return 'it does not listen yet';
  return doors.listening() ? broker.trouble() : 'it does not listen';
}

function guideOptions({ options, host }: Ground, connections: Connections, tls: TlsOptions): GuideOptions {
  const { compatPorts = guidePorts, compatDeleteAll = false, compatMaxRows = 10 } = options;
  return {
    ...{ dataDir: options.dataDir, host, connections, tls, drainMs: options.drainMs },
    ports: compatPorts,
    deleteAll: compatDeleteAll,
    maxRows: compatMaxRows,
    quota: options.compatQuota,
    events: options.engines?.events,
  };
}

/** The operator's token where one is to be made at this start. */
async function firstToken({ newToken, noToken }: PlatformOptions, { engine, tokens }: State) {
  if (newToken) await engine.soundness.known();
  return engine.turns.of('first token')(async () =>
    newToken || !(noToken || (await tokens.any())) ? await tokens.issue() : undefined,
  );
}
