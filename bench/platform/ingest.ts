// Ingest to disk: durable messages per second, for the store alone and through the broker (QoS 1, mutual TLS, several devices; each
// PUBACK follows the sync of its message's batch). Also the cost of storing the data of many devices: memory, startup time after
// SIGKILL, and the time to read one hour of one device.
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect as connectTls } from 'node:tls';
import { createClient } from '../../src/lib/api/client.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import type { Entry } from '../../src/lib/platform/journal/entry.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { encodePublish } from '../../src/lib/stream/mqtt/packets.js';
import { type PlatformProcess, startPlatformProcess } from './process.js';

/** A durable message store, which acknowledges each message after it has been synced. */
export interface Ingest {
  /** Messages per second; each round has its own recording. */
  rate(messages: number, payloadOf: PayloadOf, recording: string): Promise<number>;
  stop(): Promise<void>;
}

export type PayloadOf = (seq: number, recording: string) => string;

export const devices = 8;
/** Maximum number of unacknowledged messages per device. */
export const onTheWay = 2000;
const killed: Telemetry[] = [];

/** Stores messages through a platform's broker, over MQTT at QoS 1 with mutual TLS. @param args further arguments of `aiot up` */
export async function startIngest(folder: string, args: readonly string[] = []): Promise<Ingest> {
  const platform = await startPlatformProcess(folder, args);
  const open = await publishers(platform);
  return {
    rate: (messages, payloadOf, recording) => throughBroker(open, recording, messages, payloadOf),
    async stop() {
      for (const { end } of open) end();
      await platform.stop();
    },
  };
}

export interface StorageFigures {
  devices: number;
  messages: number;
  samples: number;
  /** Resident memory of this process before storing, and its peak while storing, MB. */
  memory: { before: number; most: number };
  /** Startup time with telemetry left behind by SIGKILL, seconds. */
  start: number;
  /** Time to read one hour of one device, seconds; and the number of entries in it. */
  hour: { seconds: number; entries: number };
}

/** Telemetry of many devices that send in turn, 100 samples per message; ten million samples if `short`. */
export async function storageFigures(folder: string, short = false): Promise<StorageFigures> {
  const [count, perDevice] = short ? [1000, 100] : [10_000, 100];
  await mkdir(folder, { recursive: true });
  const telemetry = await openTelemetry({ folder, now: Date.now });
  const before = process.memoryUsage.rss() / 1e6;
  let most = before;
  const x = Array.from({ length: 100 }, (_, i) => i / 8);
  for (let seq = 0; seq < perDevice; seq++) {
    for (let first = 0; first < count; first += 500) {
      const some = Array.from({ length: Math.min(500, count - first) }, (_, i) =>
        telemetry.append(entryOf(`d${first + i}`, { seq, t: seq * 60_000, rate: 100, recording: 'r', x })),
      );
      await Promise.all(some);
      most = Math.max(most, process.memoryUsage.rss() / 1e6);
    }
  }
  // The store is left open, as after SIGKILL. A reference is kept, because Node prints a warning when it garbage-collects an open
  // file.
  killed.push(telemetry);
  const began = performance.now();
  const again = await openTelemetry({ folder, now: Date.now });
  const start = (performance.now() - began) / 1000;
  const asked = performance.now();
  let entries = 0;
  const key = { channel: 'telemetry', stream: 's', device: 'd77', recording: 'r' } as const;
  for await (const _ of again.read(key, { from: 20 * 60_000, to: 80 * 60_000 })) entries++;
  const hour = { seconds: (performance.now() - asked) / 1000, entries };
  await again.close();
  const messages = count * perDevice;
  return { devices: count, messages, samples: messages * 100, memory: { before, most }, start, hour };
}

/** Messages per second of the store alone. */
export async function appendAlone(folder: string, messages: number): Promise<number> {
  const telemetry = await openTelemetry({ folder, now: Date.now });
  const began = performance.now();
  const sender = async (device: number) => {
    for (let seq = 0; seq < messages / devices; seq += 250) {
      const some = Array.from({ length: 250 }, (_, i) =>
        telemetry.append(entryOf(`d${device}`, JSON.parse(small(seq + i, 'r')) as Entry['payload'])),
      );
      await Promise.all(some);
    }
  };
  await Promise.all(Array.from({ length: devices }, (_, device) => sender(device)));
  const seconds = (performance.now() - began) / 1000;
  await telemetry.close();
  return messages / seconds;
}

function entryOf(device: string, payload: Entry['payload']): Entry {
  return { at: Date.now(), device, channel: 'telemetry', stream: 's', payload };
}

/** One sample of three fields. */
export function small(seq: number, recording: string): string {
  return JSON.stringify({
    seq,
    t: 1_795_000_000_000 + seq * 10,
    recording,
    x: 0.98,
    y: -0.19,
    z: seq / 1000,
  });
}

const columns = [0, 1, 2].map((axis) =>
  Array.from({ length: 50 }, (_, i) => Math.round(Math.sin(axis + i) * 1e4) / 1e4),
);

/** 50 samples of three fields. */
export function batch(seq: number, recording: string): string {
  const [x, y, z] = columns;
  return JSON.stringify({ seq, t: 1_795_000_000_000 + seq * 500, rate: 100, recording, x, y, z });
}

interface Publisher {
  device: string;
  /** Sends packets and resolves when all are acknowledged. */
  send(packets: readonly Uint8Array[]): Promise<void>;
  end(): void;
}

async function publishers(platform: PlatformProcess): Promise<Publisher[]> {
  const { readFile } = await import('node:fs/promises');
  const ca = await readFile(platform.ca, 'utf8');
  const client = createClient({ url: platform.urls.http, ca, token: platform.token });
  const { port } = new URL(platform.urls.mqtts);
  const open: Publisher[] = [];
  for (let i = 0; i < devices; i++) {
    const device = `bench-${i}`;
    const { privatePem: key } = generateKeyPair();
    const { certificate: cert } = await client.devices.provision(
      device,
      'virtual',
      await certificateRequest(key, device),
    );
    const socket = connectTls({ port: Number(port), host: '127.0.0.1', ca, key, cert });
    await once(socket, 'secureConnect');
    // CONNECT of MQTT 3.1.1, a clean session, no keep-alive, the client id `b` (section 3.1).
    socket.write(Buffer.from([0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0, 0, 1, 98]));
    await once(socket, 'data');
    let acknowledged = 0;
    let told = () => {};
    // A PUBACK has four bytes (section 3.4), and no other packets arrive.
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      acknowledged = bytes >> 2;
      told();
    });
    const until = async (least: number) => {
      while (acknowledged < least) await new Promise<void>((resolve) => (told = resolve));
    };
    let sent = 0;
    open.push({
      device,
      async send(packets) {
        for (let from = 0; from < packets.length; from += 100) {
          const some = packets.slice(from, from + 100);
          sent += some.length;
          if (!socket.write(Buffer.concat(some))) await once(socket, 'drain');
          await until(sent - onTheWay);
        }
        await until(sent);
      },
      end: () => socket.destroy(),
    });
  }
  await client.close();
  return open;
}

async function throughBroker(
  open: readonly Publisher[],
  recording: string,
  messages: number,
  payloadOf: PayloadOf,
): Promise<number> {
  const each = Math.ceil(messages / open.length);
  // All packets are created before the clock starts.
  const packets = open.map(({ device }) => {
    const topic = `aiot/v1/${device}/telemetry/s`;
    return Array.from({ length: each }, (_, seq) =>
      encodePublish(
        { topic, payload: Buffer.from(payloadOf(seq, recording)) },
        { topic, qos: 1, id: (seq % 65_535) + 1, dup: false, version: 4 },
      ),
    );
  });
  const began = performance.now();
  await Promise.all(open.map((publisher, i) => publisher.send(packets[i] ?? [])));
  return (each * open.length) / ((performance.now() - began) / 1000);
}
