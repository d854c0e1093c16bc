import { createServer, type Server, type Socket } from 'node:net';
import { AiotError, systemCode } from '../../core/errors.js';
import { parsedJson } from '../../core/text.js';
import type { Source } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import { createQueue } from '../../stream/queue.js';
import type { Answer } from '../types.js';
import type { SensorAddress } from './address.js';
import { createBatcher } from './batcher.js';
import { unitIn } from './fields.js';
import type { Incoming, RawSource, SensingContract, SensingOptions, Tell } from './types.js';

interface MessagesOptions {
  address: SensorAddress;
  contract: SensingContract;
  stream: SensingOptions['stream'];
  signal: AbortSignal;
  monotonicMs: () => number;
  wallMs: () => number;
  tell: Tell;
}

/**
 * Reads the messages of any stream as samples. The stream's adapter reconnects automatically.
 * @throws the errors of opening the stream
 */
export async function openMessages(options: MessagesOptions): Promise<RawSource> {
  const { address, contract, signal, tell } = options;
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const batcher = createBatcher(contract, address, tell);
  const link = followLink(faults, (connected) => {
    // A board that reconnects has restarted. With a broker, the gap shows in the messages' own times.
    if (connected && (batcher.timing === 'arrival' || address.scheme === 'serial')) batcher.cut();
    if (connected) tell('found', `${source.endpoint} is available again`);
    else tell('lost', `${source.endpoint} was disconnected: waiting for it to return`);
  });
  const source: Source = await openSource(address.url, {
    ...options.stream,
    signal,
    onState: link.onState,
  });
  const offset = options.wallMs() - options.monotonicMs();
  let kept = address.scheme === 'file';
  let skipped = 0;
  let dropped = 0;
  let topic: string | null = null;

  const skip = (why: string) => {
    skipped++;
    tell('skipped', `a message is not a sample: ${why} (${skipped} so far)`);
  };

  async function* batches(): AsyncGenerator<Incoming> {
    for await (const deliveries of source) {
      if (source.dropped > dropped) {
        batcher.dropped(source.dropped - dropped);
        dropped = source.dropped;
      }
      const now = options.monotonicMs() + offset;
      for (const { message } of deliveries) {
        topic ??= message.topic;
        if (message.topic !== topic && contract.rateHz !== null) {
          skip(`it has the topic ${message.topic}, but ${topic} is in use; one sensor has one topic`);
          continue;
        }
        // Messages with a position come from a log or a recording, which contains their times. All others arrive now.
        kept ||= message.position !== undefined;
        const why = batcher.add(message.payload, kept ? message.time : now);
        if (why !== null) skip(why);
      }
      yield* batcher.take();
      for (const delivery of deliveries) delivery.ack();
    }
  }

  return {
    endpoint: source.endpoint,
    // Fields have the contract's units, unless the address sets others.
    fields: contract.fields.map((field) => ({
      name: field.name,
      unit: unitIn(address.fields, { name: address.fields.map[field.name] ?? field.name }, field) ?? '',
    })),
    get rateHz() {
      return batcher.rateHz;
    },
    get timing() {
      return batcher.timing;
    },
    get kept() {
      return kept;
    },
    get connected() {
      return link.connected;
    },
    faults,
    [Symbol.asyncIterator]: () => batches(),
    close: () => source.close(),
  };
}

/** Tracks a source's connection: counts reconnections in `faults`, and reports only changes. */
export function followLink(faults: { reconnects: number }, changed: (connected: boolean) => void) {
  let connected = true;
  return {
    get connected() {
      return connected;
    },
    onState(state: 'connected' | 'disconnected') {
      if ((state === 'connected') === connected) return;
      connected = !connected;
      if (connected) faults.reconnects++;
      changed(connected);
    },
  };
}

/**
 * Limits for connections. A connection is closed if its message takes longer or is larger than this, or if the client leaves it open after
 * the response. If there are too many connections, the oldest one without a complete message is closed.
 */
const limits = { waitMs: 10_000, bytes: 64 * 1024, connections: 256 };

interface Asked {
  socket: Socket;
  payload: Uint8Array;
}

interface ListenOptions {
  address: SensorAddress;
  contract: SensingContract;
  monotonicMs: () => number;
  wallMs: () => number;
  tell: Tell;
}

/**
 * Listens on `tcp://[HOST]:PORT` (without a host, on localhost only) for one JSON message per connection, in the format that the guide's
 * sidecar sends to an inference box. The response is `inference value from the edge tpu = V` (the predicted value, or its class). If the
 * message completes no window, it is `taken`; for an invalid sample, it is `rejected:` and the reason. A message ends with its JSON, with a
 * line ending, or when the sender closes its half of the connection.
 * @throws AIOT_SENSOR_URL, AIOT_PORT_IN_USE, AIOT_SENSOR_FAILED
 */
export async function openListener(options: ListenOptions): Promise<RawSource> {
  const { address, contract, tell } = options;
  const { host, port } = placeOf(address);
  const queue = createQueue<Asked>(limits.connections);
  const sockets = new Set<Socket>();
  /** Connections with an incomplete message. */
  const talking = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    talking.add(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      talking.delete(socket);
    });
    if (sockets.size > limits.connections) {
      const [longest = socket] = talking;
      longest.destroy();
      sockets.delete(longest);
      talking.delete(longest);
    }
    collect(socket, (payload) => {
      talking.delete(socket);
      if (!queue.push({ socket, payload }, payload.length)) socket.destroy();
    });
  });
  await listening(server, host, port);
  const batcher = createBatcher(contract, { ...address, time: address.time ?? 'none' }, tell);
  const offset = options.wallMs() - options.monotonicMs();
  let current: { socket: Socket; answer: string } | null = null;

  async function* batches(): AsyncGenerator<Incoming> {
    for await (const asked of queue) {
      for (const { socket, payload } of asked) {
        const why = batcher.add(payload, options.monotonicMs() + offset);
        const taken = batcher.take();
        if (why !== null) tell('skipped', `a message is not a sample: ${why}`);
        current = { socket, answer: why === null ? 'taken' : `rejected: ${why}` };
        // Until the reader requests the next batch, its replies belong to this connection.
        for (const batch of taken) yield { ...batch, sure: true };
        current.socket.end(current.answer);
        current.socket.setTimeout(limits.waitMs, () => socket.destroy());
        current = null;
      }
    }
  }

  return {
    endpoint: `tcp://${host}:${port}`,
    fields: contract.fields.map((field) => ({
      name: field.name,
      unit: unitIn(address.fields, { name: address.fields.map[field.name] ?? field.name }, field) ?? '',
    })),
    get rateHz() {
      return batcher.rateHz;
    },
    // Clients wait for each reply, so gaps between messages are not lost samples, and their times are used as they are.
    timing: 'exact',
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    reply(answer: Answer) {
      const { value, voted, label } = answer;
      if (current) current.answer = `inference value from the edge tpu = ${value ?? voted ?? label ?? ''}`;
    },
    [Symbol.asyncIterator]: () => batches(),
    async close() {
      queue.end();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Calls `give` with a connection's message when the message is complete. */
function collect(socket: Socket, give: (payload: Uint8Array) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let given = false;
  const end = () => {
    if (given || bytes === 0) {
      if (!given) socket.end();
      return;
    }
    given = true;
    clearTimeout(over);
    give(Buffer.concat(chunks));
  };
  socket.setNoDelay(true);
  // Limits the time for the whole message. Otherwise a client could occupy the connection by sending single bytes.
  const over = setTimeout(() => socket.destroy(), limits.waitMs);
  socket.on('close', () => clearTimeout(over));
  socket.on('error', () => {});
  socket.on('end', end);
  socket.on('data', (chunk: Buffer) => {
    if (given) return;
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > limits.bytes) return socket.destroy();
    const last = chunk.at(-1);
    // Parses only after characters that can end a JSON text. A line ending completes a line of numbers.
    if (last === 10 || ((last === 125 || last === 93) && parsedJson(Buffer.concat(chunks)) !== undefined))
      end();
  });
}

function placeOf({ url }: SensorAddress): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^tcp:\/\/(?:\[([^\]]*)\]|([^:/?]*)):(\d{1,5})\/?$/.exec(url) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535 || port === 0) {
    throw new AiotError('AIOT_SENSOR_URL', 'tcp: expected tcp://:PORT, or tcp://ADDRESS:PORT to listen on', {
      next: 'Use tcp://:9898, or tcp://0.0.0.0:9898 to accept other machines too.',
    });
  }
  return { host: bracketed || plain || '127.0.0.1', port };
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (cause) {
    const code = systemCode(cause) ?? 'unknown error';
    const used = code === 'EADDRINUSE';
    throw new AiotError(
      used ? 'AIOT_PORT_IN_USE' : 'AIOT_SENSOR_FAILED',
      used
        ? `port ${port} on ${host} is in use by another program`
        : `cannot listen on ${host}:${port} (${code})`,
      {
        cause,
        endpoint: `tcp://${host}:${port}`,
        next: 'Choose another port, or an address of this machine.',
      },
    );
  }
  // A connection that cannot be accepted (too many open files) does not affect the others.
  server.on('error', () => {});
}
