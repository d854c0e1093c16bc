import { aiotVersion, systemClock } from '../core/index.js';
import { startBroker } from './broker/broker.js';
import { ingest } from './broker/ingest.js';
import { startListeners } from './broker/listeners.js';
import { openingError } from './errors.js';
import { certifiedHosts, reachableHost } from './hosts.js';
import { createApp } from './http/app.js';
import { listenHttp } from './http/listen.js';
import type { PlatformUrls } from './http/parts.js';
import { lockFolder } from './lock.js';
import { createLog } from './log.js';
import type { Platform, PlatformOptions } from './options.js';
import { forgetRunning, noteRunning } from './running.js';
import { datasetsOf } from './services/datasets.js';
import { DesiredStates } from './services/desired.js';
import { Rollouts } from './services/rollouts.js';
import { type Closers, openState } from './state.js';
import { rolloutStoreIn } from './store/rollouts.js';

/**
 * Starts the platform: locks its folder, opens what is there, and listens. The one code under `aiot up` and the demo.
 * Where it fails, all that it had opened is closed again.
 * @throws AIOT_PLATFORM_RUNNING, AIOT_PORT_IN_USE, AIOT_DISK_FULL, AIOT_FILE_NOT_WRITABLE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const closers: Closers = [];
  const close = async () => {
    for (let closer = closers.pop(); closer; closer = closers.pop()) await closer();
  };
  try {
    const { urls, ca, token, streams } = await open(options, closers);
    let stopped: Promise<void> | undefined;
    return {
      urls,
      ca,
      streams,
      ...(token === undefined ? {} : { token }),
      stop: () => {
        stopped ??= close();
        return stopped;
      },
    };
  } catch (error) {
    await close();
    throw openingError(error, options.dataDir);
  }
}

async function open(options: PlatformOptions, closers: Closers) {
  const { dataDir, host = '127.0.0.1', clock = systemClock, plain, boards } = options;
  const log = await createLog(options.log);
  const now = () => clock.now();
  closers.push(await lockFolder(dataDir));
  const state = await openState({ dataDir, now, log, sync: options.sync }, closers);
  const { authority, devices, journal, models, store, tokens } = state;

  const desired = new DesiredStates(store, (topic, payload) =>
    broker.publish({ topic, payload, retain: true }),
  );
  const rollouts = new Rollouts({ store: rolloutStoreIn(store), devices, models, desired, now });
  const broker = await startBroker({
    devices,
    tokens,
    log,
    ingest: (topic, payload) => ingest({ journal, devices, rollouts, now }, topic, payload),
  });
  closers.push(() => broker.close());
  for (const [name, filter] of Object.entries(options.readers ?? {})) broker.streams.expect(name, filter);
  await desired.restore(devices.records());
  await rollouts.resume();
  const deadlines = setInterval(() => {
    rollouts.tick().catch((err: unknown) => log.error({ err }, 'a deadline could not be saved'));
  }, 500);
  closers.push(() => clearInterval(deadlines));

  const { key, certificate: cert } = await authority.server(certifiedHosts(host));
  const tls = { key, cert, ca: authority.certificate };
  const urls: PlatformUrls = { http: '', mqtts: '' };
  const datasets = datasetsOf(state.catalogue, journal, state.labels);
  const own = { broker, datasets, desired, rollouts, log, ca: authority.certificate };
  const app = await createApp(
    { ...state, ...own, started: now(), urls: () => urls, version: aiotVersion() },
    tls,
    options.compat,
  );
  closers.push(() => app.close());
  await app.ready();

  const shown = reachableHost(host);
  urls.http = `https://${shown}:${await listenHttp(app, host, options.httpPort)}`;
  const listeners = await startListeners(broker, { host, port: options.mqttPort, tls, plain, boards });
  closers.push(() => listeners.close());
  urls.mqtts = `mqtts://${shown}:${listeners.port}`;
  if (listeners.plainPort !== undefined) urls.mqtt = `mqtt://127.0.0.1:${listeners.plainPort}`;
  if (boards) urls.boards = `mqtt://${reachableHost(boards.host)}:${listeners.boardPort}`;
  await noteRunning(dataDir, { urls, ca: authority.file });
  closers.push(() => forgetRunning(dataDir));
  // Last of all that can fail: a token that nobody was told of could not be used, and would keep one from being made.
  const token = options.newToken || !(await tokens.any()) ? await tokens.issue() : undefined;
  log.debug({ urls }, 'ready');
  return { urls, ca: authority.file, token, streams: broker.streams };
}
