// Ingest to disk: durable messages a second, of the journal alone and through the broker (QoS 1, mutual TLS, several devices, each
// PUBACK after the sync of its message's batch). And what a journal of many devices costs: memory, a start after SIGKILL, and one
// device's hour.
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect as connectTls } from 'node:tls';
import { generateKeyPair } from '../../src/lib/core/index.js';
import type { Entry } from '../../src/lib/platform/journal/entry.js';
import { FileTelemetry } from '../../src/lib/platform/journal/files.js';
import { certificateRequest } from '../../src/lib/provision/index.js';
import { createClient } from '../../src/lib/registry/index.js';
import { encodePublish } from '../../src/lib/stream/index.js';
import { cpuSeconds, type PlatformProcess, startPlatformProcess } from './process.js';

export interface IngestFigure {
  what: string;
  messages: number;
  /** Durable messages a second. */
  rate: number;
  /** CPU seconds of the process that stores them. */
  cpu: number;
  /** At least so many a second. */
  least: number;
}

const devices = 8;
const killed: FileTelemetry[] = [];

/** Small messages (one sample of three fields) and batches of 50 samples. */
export async function ingestFigures(folder: () => string, short = false): Promise<IngestFigure[]> {
  const messages = short ? 40_000 : 400_000;
  const alone = await appendAlone(folder(), messages);
  const platform = await startPlatformProcess(folder());
  try {
    const open = await publishers(platform);
    await throughBroker(platform, open, 'warm', Math.min(messages, 40_000), small);
    const one = await throughBroker(platform, open, 'small', messages, small);
    const batches = await throughBroker(platform, open, 'batches', Math.round(messages / 5), batch);
    for (const { end } of open) end();
    return [
      { what: 'journal alone, one sample a message', ...alone, least: 20_000 },
      { what: 'MQTT QoS 1, one sample a message', ...one, least: 20_000 },
      { what: 'MQTT QoS 1, 50 samples a message', ...batches, least: 4_000 },
    ];
  } finally {
    await platform.stop();
  }
}

export interface StorageFigures {
  devices: number;
  messages: number;
  samples: number;
  /** Resident memory of this process before, and at its most while it stored, MB. */
  memory: { before: number; most: number };
  /** A start on the journal as SIGKILL left it, seconds. */
  start: number;
  /** One device's hour out of the whole, seconds; and entries in it. */
  hour: { seconds: number; entries: number };
}

/** A journal of many devices that send in turn, 100 samples a message: ten million samples in the short form. */
export async function storageFigures(folder: string, short = false): Promise<StorageFigures> {
  const [count, perDevice] = short ? [1000, 100] : [10_000, 100];
  await mkdir(folder, { recursive: true });
  const telemetry = await FileTelemetry.open({ folder, now: Date.now });
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
  // Not closed, as SIGKILL leaves it; and kept, as its open file would be collected as garbage, with a warning.
  killed.push(telemetry);
  const began = performance.now();
  const again = await FileTelemetry.open({ folder, now: Date.now });
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

async function appendAlone(folder: string, messages: number) {
  const telemetry = await FileTelemetry.open({ folder, now: Date.now });
  const used = cpuSeconds(process.pid);
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
  return { messages, rate: messages / seconds, cpu: cpuSeconds(process.pid) - used };
}

function entryOf(device: string, payload: Entry['payload']): Entry {
  return { at: Date.now(), device, channel: 'telemetry', stream: 's', payload };
}

function small(seq: number, recording: string): string {
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

function batch(seq: number, recording: string): string {
  const [x, y, z] = columns;
  return JSON.stringify({ seq, t: 1_795_000_000_000 + seq * 500, rate: 100, recording, x, y, z });
}

interface Publisher {
  device: string;
  /** Sends packets and resolves when all are acknowledged. */
  send(packets: readonly Uint8Array[]): Promise<void>;
  end(): void;
}

/** Messages that one device has on their way at most. */
const window = 2000;

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
    // A PUBACK is four bytes (section 3.4), and nothing else comes.
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
          await until(sent - window);
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
  platform: PlatformProcess,
  open: readonly Publisher[],
  recording: string,
  messages: number,
  payloadOf: (seq: number, recording: string) => string,
) {
  const each = Math.ceil(messages / open.length);
  // All packets are made before the clock starts.
  const packets = open.map(({ device }) => {
    const topic = `aiot/v1/${device}/telemetry/s`;
    return Array.from({ length: each }, (_, seq) =>
      encodePublish(
        { topic, payload: Buffer.from(payloadOf(seq, recording)) },
        { topic, qos: 1, id: (seq % 65_535) + 1, dup: false, version: 4 },
      ),
    );
  });
  const used = cpuSeconds(platform.child.pid ?? 0);
  const began = performance.now();
  await Promise.all(open.map((publisher, i) => publisher.send(packets[i] ?? [])));
  const seconds = (performance.now() - began) / 1000;
  return {
    messages: each * open.length,
    rate: (each * open.length) / seconds,
    cpu: cpuSeconds(platform.child.pid ?? 0) - used,
  };
}
