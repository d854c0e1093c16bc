import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PlatformUrls } from '../../registry/index.js';
import type { BlobStore } from '../blobs/store.js';
import type { Broker } from '../broker/broker.js';
import type { Connections } from '../connections.js';
import { reachableHost } from '../hosts.js';
import { listenOn } from '../listen.js';
import type { Devices } from '../services/devices.js';
import type { Enrolment } from '../services/enrolment.js';
import type { Models } from '../services/models.js';
import type { Removal } from '../services/removal.js';
import type { Engine } from '../store/engine.js';
import type { TlsOptions } from '../tls.js';
import { deleteAllOf } from './delete-all.js';
import { GuideFiles } from './files.js';
import { createReceiver } from './http/receive.js';
import { answerFailure } from './http/serve.js';
import { createGuideServer, type GuideServer } from './http/server.js';
import { startDoor } from './mqtt-door.js';
import { Quota, usualQuota } from './quota.js';
import { GuideDevices } from './registry.js';
import { startRelay } from './relay/relay.js';
import { type GuideService, guideServices, handlerOf } from './services.js';
import { Shelf } from './shelf.js';
import { openStaging } from './staging.js';
import { Uploads } from './uploads.js';

export interface GuideOptions {
  dataDir: string;
  /** Address to bind. */
  host: string;
  /** MQTT, device registry, model registry, training datastore; 0 = any free one. */
  ports: readonly [number, number, number, number];
  /** Whether /deleteAllData works. */
  deleteAll: boolean;
  /** Rows in one file of raw training data; 0 = somebody else makes them. */
  maxRows: number;
  /** Bytes that its clients may store in all. */
  quota?: number | undefined;
  /** kafka://…, where the relay has one. */
  events: string | undefined;
  tls: Pick<TlsOptions, 'key' | 'cert' | 'follow'>;
  connections: Connections;
  /** As of PlatformOptions. */
  drainMs?: number | undefined;
}

export interface GuideParts {
  engine: Engine;
  blobs: BlobStore;
  models: Models;
  removal: Removal;
  devices: Devices;
  enrolment: Enrolment;
  broker: Broker;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
}

export interface Guide {
  urls: NonNullable<PlatformUrls['guide']>;
  close(): Promise<void>;
}

/** The ports of the guide, in the order of its option. */
export const guidePorts = [30_005, 30_006, 30_007, 30_008] as const;

/**
 * Stands in for the services of "The Architect's Guide to the AIoT": its registries and its datastore over ours, its MQTT
 * broker as a door of ours, its bridge and its ingest. @throws AIOT_PORT_IN_USE, AIOT_STREAM_SCHEME, AIOT_STREAM_URL
 */
export async function startGuide(options: GuideOptions, parts: GuideParts): Promise<Guide> {
  const closers: (() => unknown)[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer; closer = closers.pop()) await closer();
  };
  try {
    const urls = await open(options, parts, closers);
    return { urls, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(options: GuideOptions, parts: GuideParts, closers: (() => unknown)[]) {
  const { host, ports, tls } = options;
  const { engine, blobs, models, removal, devices, enrolment, log, now } = parts;
  const { store, turns } = engine;
  const inTurn = turns.of('guide');
  const files = new GuideFiles({ store, blobs, sweep: () => removal.sweep() });
  const quota = new Quota(store, options.quota ?? usualQuota);
  const staging = await openStaging(join(options.dataDir, 'guide', 'incoming'), quota);
  const uploads = new Uploads({ files, blobs, models, staging, inTurn, now });
  const receiver = await createReceiver(uploads, (err) =>
    log.error({ err }, 'an upload could not be stored'),
  );
  closers.push(() => receiver.close());
  const services = {
    ...{ files, receiver, started: now() },
    shelf: new Shelf({ store, blobs, files, log, inTurn }),
    devices: new GuideDevices({ devices, enrolment }),
    deleteAll: options.deleteAll ? deleteAllOf({ files, models, removal }) : null,
  };
  closers.push(await startRelay(options, parts, files, quota));
  const shown = reachableHost(host);
  const open: GuideServer[] = [];
  closers.push(() => Promise.all(open.map((guide) => guide.close(options.drainMs))));
  const listen = async (service: GuideService, port: number) => {
    const handle = handlerOf(services, service);
    const guide = createGuideServer(tls, options.connections, (request, response) => {
      handle(request, response).catch((err: unknown) => {
        if (response.destroyed) return;
        log.error({ err, url: request.url }, 'a request of a client of the guide failed');
        answerFailure(response, 500, 'internal server error');
      });
    });
    open.push(guide);
    return `https://${shown}:${await listenOn(guide.server, host, port, '--compat-ports')}`;
  };
  const [mqttPort, ...httpPorts] = ports;
  const [devicesUrl = '', modelsUrl = '', datasetsUrl = ''] = await oneByOne(
    guideServices.map((service, index) => () => listen(service, httpPorts[index] ?? 0)),
  );
  const door = await startDoor(parts.broker, options.connections, { host, port: mqttPort });
  closers.push(() => door.close());
  log.warn({ port: door.port }, 'MQTT without TLS and without passwords for clients of the guide');
  return {
    mqtt: `mqtt://${shown}:${door.port}`,
    devices: devicesUrl,
    models: modelsUrl,
    datasets: datasetsUrl,
  };
}

async function oneByOne<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (const task of tasks) results.push(await task());
  return results;
}
