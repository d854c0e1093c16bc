import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PlatformUrls } from '../../api/api.js';
import { unless } from '../../core/errors.js';
import type { BlobStore } from '../blobs/store.js';
import type { Broker } from '../broker/broker.js';
import type { BoardDoor } from '../broker/identity.js';
import type { TlsOptions } from '../certificates.js';
import type { Connections } from '../connections.js';
import type { Devices } from '../devices/devices.js';
import type { Enrolment } from '../devices/enrolment.js';
import { Lifecycle } from '../lifecycle.js';
import { closeServer, listenOn, reachableHost } from '../listen.js';
import type { Models } from '../releases/models.js';
import type { Removal } from '../releases/stages.js';
import type { Engine } from '../store/engine.js';
import {
  alertTopics,
  controlTopic,
  dataTopic,
  type GuideFile,
  GuideFiles,
  type GuideFolder,
  guide,
  modelFolders,
  Quota,
  rawFolder,
  usualQuota,
} from './files.js';
import { answerFailure, createGuideServer, type GuideServer } from './http.js';
import { startRelay } from './relay.js';
import { GuideDevices, type GuideService, guideServices, handlerOf } from './services.js';
import { Shelf } from './shelf.js';
import { createReceiver, openStaging, Uploads } from './uploads.js';

export interface GuideOptions {
  dataDir: string;
  /** Address to bind. */
  host: string;
  /** MQTT, device registry, model registry, training datastore; 0 = any free port. */
  ports: readonly [number, number, number, number];
  /** Whether /deleteAllData is enabled. */
  deleteAll: boolean;
  /** Number of rows in one file of raw training data; 0 = another program writes the files. */
  maxRows: number;
  /** Total bytes that the guide's clients may store. */
  quota?: number | undefined;
  /** URL of Kafka (kafka://…), if the relay uses one. */
  events: string | undefined;
  tls: Pick<TlsOptions, 'key' | 'cert' | 'follow'>;
  connections: Connections;
  /** As in PlatformOptions. */
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

interface Guide {
  urls: NonNullable<PlatformUrls['guide']>;
  close(): Promise<void>;
}

/** The guide's ports, in the order of the `ports` option. */
export const guidePorts = [30_005, 30_006, 30_007, 30_008] as const;

/**
 * Starts replacements for the services of "The Architect's Guide to the AIoT". The registries and the datastore run on top of ours, the
 * MQTT broker is one of our listeners, and the bridge and the ingest are included.
 * @throws AIOT_PORT_IN_USE, AIOT_STREAM_SCHEME, AIOT_STREAM_URL
 */
export async function startGuide(options: GuideOptions, parts: GuideParts): Promise<Guide> {
  const opened = new Lifecycle();
  try {
    const urls = await open(options, parts, opened);
    return { urls, close: () => opened.end() };
  } catch (error) {
    await opened.end();
    throw error;
  }
}

async function open(options: GuideOptions, parts: GuideParts, opened: Lifecycle) {
  const { host, ports, tls } = options;
  const { engine, blobs, models, removal, devices, enrolment, log, now } = parts;
  const { store, turns } = engine;
  const inTurn = turns.of('guide');
  const files = new GuideFiles({ store, blobs, sweep: () => removal.sweep() });
  const quota = new Quota(store, options.quota ?? usualQuota);
  const staging = await openStaging(join(options.dataDir, 'guide', 'incoming'), quota);
  const uploads = new Uploads({ files, blobs, models, staging, inTurn, now });
  const receiver = await createReceiver(uploads, (err) => log.error({ err }, 'could not store an upload'));
  opened.atEnd(() => receiver.close());
  const services = {
    ...{ files, receiver, started: now() },
    shelf: new Shelf({ store, blobs, files, log, inTurn }),
    devices: new GuideDevices({ devices, enrolment }),
    deleteAll: options.deleteAll ? deleteAllOf({ files, models, removal }) : null,
  };
  opened.atEnd(await startRelay(options, parts, files, quota));
  const shown = reachableHost(host);
  const open: GuideServer[] = [];
  opened.atEnd(() => Promise.all(open.map((guide) => guide.close(options.drainMs))));
  const listen = async (service: GuideService, port: number) => {
    const handle = handlerOf(services, service);
    const guide = createGuideServer(tls, options.connections, (request, response) => {
      handle(request, response).catch((err: unknown) => {
        if (response.destroyed) return;
        log.error({ err, url: request.url }, 'a request from a client of the guide failed');
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
  opened.atEnd(() => door.close());
  log.warn({ port: door.port }, 'MQTT without TLS and passwords is open for clients of the guide');
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

/** The minimum permissions for the guide's boards. */
const door: BoardDoor = {
  publish: [dataTopic, ...alertTopics],
  // Boards also receive the data of other boards, because a second board reads the first one's.
  subscribe: [controlTopic, dataTopic],
};

/** MQTT without TLS and without passwords. @throws AIOT_PORT_IN_USE */
async function startDoor(
  broker: Broker,
  connections: Connections,
  { host, port }: { host: string; port: number },
) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    if (!connections.admit(socket) || !broker.enter(socket)) return;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    broker.handle(socket, door, { known: () => connections.known(socket) });
  });
  const bound = await listenOn(server, host, port, '--compat-ports');
  return { port: bound, close: () => closeServer(server, sockets) };
}

interface Parts {
  files: GuideFiles;
  models: Pick<Models, 'get'>;
  removal: Pick<Removal, 'remove'>;
}

/**
 * Implements /deleteAllData. In the model registry, it deletes all uploads, with the versions created from them. In the
 * datastore, it deletes the files. In the device registry, it deletes nothing, as in the original. Signed versions
 * belong to the registry and stay, because unauthenticated clients must not delete them.
 */
function deleteAllOf({ files, models, removal }: Parts): (service: GuideService) => Promise<void> {
  const untrusted = async ({ model, version }: GuideFile) => {
    if (model === null || version === null) return true;
    const card = await unless('AIOT_NOT_FOUND', models.get(model, version));
    if (card?.trusted) return false;
    if (card) await removal.remove(model, version, guide);
    return true;
  };
  return async (service) => {
    if (service === 'devices') return;
    const folders: readonly GuideFolder[] = service === 'models' ? modelFolders : [rawFolder];
    for (const folder of folders) {
      const gone: GuideFile[] = [];
      for (const file of await files.list(folder)) if (await untrusted(file)) gone.push(file);
      await files.remove(gone);
    }
  };
}
