import type { EventEmitter } from 'node:events';
import type { AuthenticateError, Client, PublishPacket } from 'aedes';
import type { Logger } from 'pino';
import { AiotError } from '../../core/index.js';
import { isProtocolTopic } from '../../device/index.js';
import type { Devices } from '../services/devices.js';
import type { Tokens } from '../services/tokens.js';
import type { Offered } from '../streams/held.js';
import { createLocalStreams, type LocalStreams } from '../streams/streams.js';
import { mayPublish, maySubscribe } from './acl.js';
import { type BoardDoor, type Identity, peerOf } from './identity.js';
import { limitPackets } from './limit.js';
import { retainedIn } from './retained.js';

export interface BrokerParts {
  devices: Devices;
  tokens: Tokens;
  /** Stores a message; the publisher gets its PUBACK when this resolves. */
  ingest: (topic: string, payload: Buffer) => Promise<void>;
  log: Logger;
}

export interface BrokerFigures {
  received: number;
  /** Payloads that are not what the protocol says. */
  malformed: number;
  /** Connections, publishes and subscriptions that were not allowed. */
  refused: number;
  clients: number;
}

/** Errors that a message would meet again however often it is sent. */
const unstorable = new Set<string>(['AIOT_MESSAGE_MALFORMED', 'AIOT_NOT_FOUND']);

/** Largest payload taken, bytes. */
const largestPayload = 1024 ** 2;

/** The MQTT 3.1.1 broker, without its listeners: `handle` takes their sockets. */
export interface Broker {
  /** @param door what boards may, for a socket of the listener for boards: whoever comes by it is let in */
  handle: (socket: EventEmitter, door?: BoardDoor) => void;
  publish(packet: { topic: string; payload: Buffer; retain?: boolean; qos?: 0 | 1 | 2 }): Promise<void>;
  /** For routes in this process. */
  streams: LocalStreams;
  /** Ends all connections of a device. */
  disconnect(device: string): void;
  figures: BrokerFigures;
  close(): Promise<void>;
}

type BrokerClient = Client & { identity?: Identity; conn: { destroy(error?: Error): void } };

export async function startBroker(parts: BrokerParts): Promise<Broker> {
  const { Aedes } = await import('aedes');
  const { devices, tokens, log } = parts;
  const figures: BrokerFigures = { received: 0, malformed: 0, refused: 0, clients: 0 };
  const doors = new WeakMap<object, BoardDoor>();
  /** At the end all connections go; that is no news about the devices. */
  let closing = false;
  const refuse = (what: string, client: BrokerClient, topic?: string) => {
    figures.refused++;
    log.warn({ client: client.id, topic }, what);
  };

  const aedes = await Aedes.createBroker({
    // Ids are ours to name apart: no client can take over another's session by using its id.
    preConnect(client: BrokerClient, packet, done) {
      const peer = peerOf(client.conn);
      const device = peer && peer !== 'refused' ? devices.authenticated(peer.fingerprint) : null;
      const door = doors.get(client.conn);
      const owner = device ? `device:${device.name}` : door ? 'board' : 'operator';
      const named = packet as { clientId: string };
      if (named.clientId) named.clientId = `${owner}:${named.clientId}`;
      if (device) client.identity = { kind: 'device', name: device.name };
      else if (door) client.identity = { kind: 'board', door };
      done(null, true);
    },
    authenticate(client: BrokerClient, _user, password, done) {
      const check = async () => {
        const peer = peerOf(client.conn);
        if (peer === null && password && (await tokens.valid(Buffer.from(password).toString('utf8')))) {
          client.identity = { kind: 'operator' };
        }
        if (client.identity) return done(null, true);
        refuse(peer ? 'a certificate was refused' : 'a token was refused', client);
        // 5 = not authorized, 4 = bad user name or password (MQTT 3.1.1, table 3.1).
        const error = Object.assign(new Error('not authorized'), { returnCode: peer ? 5 : 4 });
        done(error as AuthenticateError, null);
      };
      check().catch((error: Error) =>
        done(Object.assign(error, { returnCode: 3 }) as AuthenticateError, null),
      );
    },
    authorizePublish(client: BrokerClient | null, packet, done) {
      if (!client) return done(null);
      if (!client.identity || !mayPublish(client.identity, packet.topic)) {
        refuse('a publish was refused', client, packet.topic);
        return done(new Error(`not allowed to publish on ${packet.topic}`));
      }
      figures.received++;
      const { topic, payload } = packet;
      if (payload.length > largestPayload) return done(new Error(`expected at most ${largestPayload} bytes`));
      // What is a stream of messages is not retained: memory would grow, and nobody asked for it.
      if (packet.retain && /\/(telemetry|inference|reply|log)(\/|$)/.test(topic)) packet.retain = false;
      // Readers in this process come last: what could not be stored is not theirs either.
      const offer = () => streams.offer(packet as Offered, done);
      if (isProtocolTopic(topic)) store(client, packet).then(offer, done);
      else offer();
    },
    authorizeSubscribe(client: BrokerClient, subscription, done) {
      if (client.identity && maySubscribe(client.identity, subscription.topic))
        return done(null, subscription);
      refuse('a subscription was refused', client, subscription.topic);
      done(null, null);
    },
    maxClientsIdLength: 256,
    // Messages wait for the slowest subscriber: one that takes nothing for so long goes, ms.
    drainTimeout: 3000,
  });

  const store = async (client: BrokerClient, packet: PublishPacket) => {
    try {
      await parts.ingest(packet.topic, Buffer.from(packet.payload));
    } catch (error) {
      if (!(error instanceof AiotError) || !unstorable.has(error.code)) {
        log.error({ err: error, topic: packet.topic }, 'a message could not be stored');
        throw error;
      }
      // Sent again it would be no better, so it is acknowledged, counted and dropped.
      figures.malformed++;
      log.warn({ client: client.id, topic: packet.topic }, error.message);
    }
  };

  const track = (event: 'connected' | 'disconnected') => (client: BrokerClient) => {
    figures.clients += event === 'connected' ? 1 : -1;
    if (client.identity?.kind !== 'device' || closing) return;
    // Revoked while it was connecting: `disconnect` did not see it yet.
    if (event === 'connected' && !devices.mayConnect(client.identity.name)) client.conn.destroy();
    devices[event](client.identity.name).catch((err: unknown) => log.error({ err }, 'presence not saved'));
  };
  aedes.on('client', track('connected'));
  aedes.on('clientDisconnect', track('disconnected'));
  aedes.on('clientError', (client: BrokerClient, err) =>
    log.debug({ client: client.id, err }, 'client error'),
  );
  aedes.on('connectionError', (_client, err) => log.debug({ err }, 'connection error'));

  const publish: Broker['publish'] = ({ topic, payload, retain = false, qos = 1 }) =>
    new Promise((resolve, reject) => {
      aedes.publish({ cmd: 'publish', topic, payload, qos, retain, dup: false }, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  const streams = createLocalStreams({
    endpoint: 'aiot://stream',
    publish,
    retained: (filter) => retainedIn(aedes, filter),
  });
  const clients = () =>
    Object.values((aedes as unknown as { clients: Record<string, BrokerClient> }).clients);
  return {
    handle(socket, door) {
      if (door) doors.set(socket, door);
      const client = aedes.handle(socket as Parameters<typeof aedes.handle>[0]) as BrokerClient;
      limitPackets(client, () => (client.identity ? largestPayload + 64 * 1024 : 16 * 1024));
    },
    figures,
    publish,
    streams,
    disconnect(device) {
      for (const client of clients()) {
        if (client.identity?.kind === 'device' && client.identity.name === device) client.conn.destroy();
      }
    },
    close() {
      closing = true;
      streams.close();
      return new Promise((resolve) => aedes.close(() => resolve()));
    },
  };
}
