import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { aiotVersion, preload, sha256Hex, systemClock } from '../core/index.js';
import type { PlatformUrls } from '../registry/index.js';
import { loginUrl } from './access/users.js';
import { openBroker } from './broker/broker.js';
import { type Doors, openDoors } from './broker/listeners.js';
import type { BrokerCounts } from './broker/session-log.js';
import { openTls } from './certificates.js';
import { guidePorts, startGuide } from './compat/start.js';
import { conditionOf, listenerWarnings } from './condition.js';
import { Connections, descriptorLimit, limitsFor } from './connections.js';
import { datasetsOf } from './datasets/datasets.js';
import { sweeper } from './datasets/orphans.js';
import { Ddi } from './ddi/ddi.js';
import { openPlainDdi, type PlainDdi } from './ddi/routes.js';
import { Deltas, DesiredStates } from './devices/desired.js';
import { Fleet } from './devices/fleet.js';
import { keepRevocationList } from './devices/revocations.js';
import { liveHub } from './devices/talk.js';
import { openingError } from './errors.js';
import { openEvents } from './events/start.js';
import { createApp } from './http/app.js';
import { datasetsSeen, ingest } from './ingest.js';
import { certifiedHosts, listenOn, reachableHost } from './listen.js';
import { createLog } from './log.js';
import { DiskFigures } from './metrics.js';
import { type Platform, type PlatformOptions, usualDdiPollMs } from './options.js';
import { rolloutStoreIn } from './releases/rollout-store.js';
import { Rollouts } from './releases/rollouts.js';
import { forgetRunning, lockFolder, noteRunning } from './running.js';
import { type Closers, openState } from './state.js';
import { whenSound } from './store/engine.js';
import { ledgerIn, ledgerWhenSound } from './verify/ledger.js';
import { startWorkers, WorkerStates } from './workers.js';

/**
 * Starts the platform: locks its folder, opens what is there, and listens. The one code under `aiot up` and the demo.
 * Where it fails, all that it had opened is closed again.
 * @throws AIOT_PLATFORM_RUNNING, AIOT_PORT_IN_USE, AIOT_DISK_FULL, AIOT_FILE_NOT_WRITABLE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const closers: Closers = [];
  const close = async () => {
    // What cannot be closed, on a full disk say, keeps nothing else open: a process that goes on with half of it would be neither.
    const failed: unknown[] = [];
    for (let closer = closers.pop(); closer; closer = closers.pop()) {
      try {
        await closer();
      } catch (error) {
        failed.push(error);
      }
    }
    if (failed.length > 0) throw openingError(failed[0], options.dataDir);
  };
  try {
    const { urls, ca, token, streams, loginLink } = await open(options, closers);
    let stopped: Promise<void> | undefined;
    return {
      urls,
      ca,
      streams,
      loginLink,
      ...(token === undefined ? {} : { token }),
      stop: () => {
        stopped ??= close();
        return stopped;
      },
    };
  } catch (error) {
    // Why it could not be opened is why it cannot be closed well, too.
    await close().catch(() => {});
    throw openingError(error, options.dataDir);
  }
}

/** Files that a start makes before anything else: its locks and its log. */
const lockFiles = ['lock', 'lock-journal'];
const startFiles = new Set([...lockFiles, 'platform.log']);

/** What a data folder holds besides. */
async function leftIn(dataDir: string): Promise<string[]> {
  return (await readdir(dataDir)).filter((name) => !startFiles.has(name));
}

async function open(options: PlatformOptions, closers: Closers) {
  const { dataDir, host = '127.0.0.1', clock = systemClock } = options;
  const log = await createLog(options.log);
  const now = () => clock.now();
  const disk = new DiskFigures();
  const states = new WorkerStates();
  const release = await lockFolder(dataDir);
  const isFirst = (await leftIn(dataDir)).length === 0;
  let isOpen = false;
  closers.push(async () => {
    // Nobody was told of what a first start made before it failed: no half-made folder is left for the next.
    if (!isOpen && isFirst)
      for (const name of await leftIn(dataDir))
        await rm(join(dataDir, name), { recursive: true, force: true });
    release();
    if (isOpen || !isFirst) return;
    for (const name of lockFiles) await rm(join(dataDir, name), { force: true });
    await rmdir(dataDir).catch(() => {});
  });
  const state = await openState(
    {
      dataDir,
      now,
      log,
      ...{ sync: options.sync, disk },
      engines: options.engines,
      secret: options.secret,
      caPassphrase: options.caPassphrase,
      failures: options.rates?.failures,
      checkAtOnce: options.checkAtOnce,
    },
    closers,
  );
  const { authority, devices, engine, models, telemetry, store, tokens } = state;

  const publish = (topic: string, payload: Buffer) => broker.publish({ topic, payload, retain: true });
  const deltas = new Deltas({ store, blobs: state.blobs, now });
  closers.push(() => deltas.close());
  const desired = new DesiredStates(store, publish, state.events, deltas);
  const rollouts = new Rollouts({
    store: rolloutStoreIn(store, state.events, desired),
    devices,
    models,
    firmware: state.firmware,
    configs: state.configs,
    ...{ desired, deltas },
    ...{ turns: engine.turns, changes: engine.changes },
    now,
  });
  const seen = datasetsSeen(store, state.events);
  const platform = sha256Hex(authority.certificate).slice(0, 16);
  const revoked = await keepRevocationList({
    ...{ file: join(dataDir, 'pki', 'devices.crl'), store, devices, authority, now, log },
    follow: options.engines?.broker !== undefined,
  });
  closers.push(() => revoked.close());
  const { changed: cutOff } = revoked;
  const external = { url: options.engines?.broker, leader: engine.leader, platform, cutOff };
  const broker = await openBroker(external, {
    devices,
    tokens,
    sessions: state.sessions,
    secrets: state.secrets,
    failures: state.failures,
    ...(options.brokerLimits ? { limits: options.brokerLimits } : {}),
    unavailable: () => engine.soundness.pending || engine.soundness.damage !== null,
    ...{ log, now, sync: disk.sync('sessions', options.sync), folder: join(dataDir, 'broker') },
    onCommit: disk.commits('sessions'),
    damage: (findings) => state.damages.note(findings),
    // Processes that share a database have a log each.
    ...(options.engines?.database === undefined
      ? { ledger: ledgerWhenSound(ledgerIn<BrokerCounts>(store, 'broker'), engine.soundness) }
      : {}),
    ingest: (topic, payload) => ingest({ telemetry, devices, rollouts, now, seen }, topic, payload),
  });
  closers.push(() => broker.close());
  for (const [name, filter] of Object.entries(options.readers ?? {})) broker.streams.expect(name, filter);
  if (options.engines?.broker === undefined) closers.push(desired.watch(engine.changes));
  await desired.restore(devices.records());
  await rollouts.load();
  closers.push(
    devices.watch((name) => broker.disconnect(name)),
    rollouts.watch(),
  );
  const datasets = datasetsOf(telemetry, state.labels, (stream) => state.damages.ofStream(stream));
  const compat = options.compat?.includes('architects-guide') ?? false;
  const relayTo = compat ? undefined : options.engines?.events;
  const { workers, ...told } = await openEvents({ ...state, dataDir, datasets, log, now, relayTo });
  await whenSound(engine, told.begin);
  const all = [
    rollouts.worker(),
    state.retention.worker(),
    sweeper({ orphans: state.orphans, log }),
    state.scrub.worker(),
    ...workers,
  ];
  let endWorkers: () => Promise<void> | undefined = () => undefined;
  let ending = false;
  closers.push(() => {
    ending = true;
    return endWorkers();
  });
  await whenSound(engine, async () => {
    if (!ending) endWorkers = startWorkers(all, engine.leader, log, 'platform', states);
  });
  if (engine.soundness.pending) {
    log.warn('the database is being checked; it can only be read, and devices cannot connect until then');
    void engine.soundness.known().then((sound) => {
      if (sound) log.warn('the database is sound');
      else if (!ending)
        log.error({ err: engine.soundness.damage }, 'the database is damaged; it can only be read');
    });
  }

  const { names = [] } = options;
  const hosts = certifiedHosts(host, names);
  const certificates = await openTls({ authority, hosts, given: options.serverCertificate, now, log });
  closers.push(() => certificates.close());
  const tls = certificates.api;
  const urls: PlatformUrls = { http: '', mqtts: '' };
  const fleet = new Fleet({
    ...{ devices, events: state.events, now },
    async ended(name) {
      broker.disconnect(name);
      await rollouts.revoked(name);
    },
    removed: (name) => desired.forget(name),
  });
  const condition = () =>
    conditionOf({
      ...{
        dataDir,
        engine,
        engines: options.engines,
        devices,
        urls: () => urls,
        now,
        missing: () => state.orphans.missing,
        scrub: state.scrub,
        damages: state.damages,
      },
      certificates: { ca: authority.certificate, server: certificates.current() },
    });
  const live = liveHub(state.telemetry.reader, log);
  closers.push(() => live.close());
  const { blobs, events, firmware } = state;
  const ddi = new Ddi({
    ...{ store, turns: engine.turns, devices, desired, rollouts, firmware, fleet, blobs, events, now },
    pollMs: options.ddiPollMs ?? usualDdiPollMs,
  });
  const connections = new Connections(
    { ...limitsFor(await descriptorLimit()), ...options.connectionLimits },
    log,
  );
  closers.push(() => connections.close());
  let doors: Doors | undefined;
  const own = {
    dataDir,
    ...told,
    condition,
    broker,
    datasets,
    desired,
    ddi,
    fleet,
    rollouts,
    ...{ log, now, live, connections },
    ca: authority.certificate,
    ...{ disk, workers: states },
    brokerTrouble: () =>
      doors === undefined
        ? 'it does not listen yet'
        : doors.listening()
          ? broker.trouble()
          : 'it does not listen',
  };
  const app = await createApp(
    {
      ...{ ...state, ...own, started: now(), urls: () => urls, version: aiotVersion() },
      ...{ rates: options.rates, drainMs: options.drainMs },
    },
    tls,
  );
  let plainDdi: PlainDdi | undefined;
  closers.push(() => plainDdi?.cut());
  closers.push(() => app.close());
  await app.ready();

  if (compat) {
    const { compatPorts: ports = guidePorts, compatDeleteAll = false, compatMaxRows = 10, engines } = options;
    const guide = await startGuide(
      {
        dataDir,
        host,
        ports,
        deleteAll: compatDeleteAll,
        maxRows: compatMaxRows,
        quota: options.compatQuota,
        connections,
        events: engines?.events,
        tls: certificates.guests,
        drainMs: options.drainMs,
      },
      { ...state, broker, log, now },
    );
    closers.push(() => guide.close());
    urls.guide = guide.urls;
  }

  const shown = reachableHost(host, names);
  urls.http = `https://${shown}:${await listenOn(app.server, host, options.httpPort, '--http-port')}`;
  if (options.ddiPort !== undefined) {
    const plain = await openPlainDdi(app, connections, { host, port: options.ddiPort });
    plainDdi = plain;
    closers.push(() => plain.stop());
    urls.ddi = `http://${shown}:${plain.port}`;
  }
  const opened = await openDoors(broker, { ...options, host, tls, connections });
  doors = opened;
  closers.push(() => opened.close());
  Object.assign(urls, opened.urls);
  for (const { message } of listenerWarnings(urls)) log.warn(message);
  await noteRunning(dataDir, { urls, ca: authority.file });
  closers.push(() => forgetRunning(dataDir));
  // Last of all that can fail: a token that nobody was told of could not be used, and would keep one from being made.
  if (options.newToken) await engine.soundness.known();
  const token = await engine.turns.of('first token')(async () =>
    options.newToken || !(options.noToken || (await tokens.any())) ? await tokens.issue() : undefined,
  );
  isOpen = true;
  log.debug({ urls }, 'ready');
  preload(() => import('../model/index.js'));
  const loginLink = async (shown: string) => {
    const user = await tokens.identify(shown);
    return user && loginUrl(urls.http, (await state.logins.link(user)).code);
  };
  return { urls, ca: authority.file, token, streams: broker.streams, loginLink };
}
