import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type RolloutDeviceState, rolloutHasEnded } from '../api/rollouts/schema.js';
import { releaseText } from '../api/rollouts/words.js';
import { parseTraceparent, type Span, type TraceContext, type Tracer, traceHeader } from '../core/trace.js';
import { parseTopic } from '../device/protocol/codec.js';
import type { RolloutDevice, RolloutHead, RolloutState, RolloutStep } from '../fleet/rollout/types.js';
import { waveOutcome } from '../fleet/rollout/waves.js';
import type { Header } from '../stream/message.js';
import type { Entry } from './journal/entry.js';
import { headersOf } from './streams.js';

/** Messages of devices and other clients whose traces begin or continue within a second, unless a sampler is set. */
export const messageTracesPerSecond = 100;
/** Number of stored messages whose traces are remembered until alarms have evaluated them. */
const remembered = 10_000;

type Arrived = { topic: string; payload: Uint8Array } & (
  | { properties?: Buffer | undefined; headers?: undefined }
  | { headers?: readonly Header[] | undefined; properties?: undefined }
);

/** Traces of messages: from their arrival to their storage, through routes, and to the alarms that evaluate them. */
export class MessageTraces {
  private second = 0;
  private begun = 0;
  private readonly stored = new Map<string, TraceContext>();

  /** @param mostPerSecond further messages within a second are not traced */
  constructor(
    readonly tracer: Tracer,
    private readonly mostPerSecond: number,
  ) {}

  /** Begins a message's trace, or continues the one named by its user property `traceparent`. Null = it is not recorded. */
  begin(message: Arrived): Span | null {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.second) {
      this.second = second;
      this.begun = 0;
    }
    if (this.begun >= this.mostPerSecond) return null;
    const parent = contextIn(message);
    const span = this.tracer.begin(() => `receive ${channelOf(message.topic)}`, { kind: 'consumer', parent });
    if (span) this.begun++;
    return span;
  }

  /** Ends a message's span. @param client name of the publisher */
  end(span: Span, { topic, payload }: Arrived, client: string, error?: string): void {
    span.end(
      {
        ...{ 'messaging.system': 'mqtt', 'messaging.operation.type': 'process' },
        ...{ 'messaging.destination.name': topic, 'messaging.message.body.size': payload.length },
        'messaging.client.id': client,
      },
      error,
    );
  }

  /** Stores a message with `task`, as a step of its trace. */
  async store(
    { topic, payload, origin }: { topic: string; payload: Buffer; origin: MessageOrigin },
    task: (context?: TraceContext) => Promise<void>,
  ): Promise<void> {
    if (origin === undefined) return task();
    if ('traceId' in origin) {
      const span = this.tracer.step('store', origin);
      return ending(
        () => task(origin),
        (error) => span.end({}, error),
      );
    }
    const message = { topic, payload, headers: origin };
    const span = this.begin(message);
    if (!span) return task();
    await ending(
      () => task(span.context),
      (error) => this.end(span, message, 'broker', error),
    );
  }

  /** Remembers the trace of a stored message for the alarms. */
  remember(entry: EntryKey, context: TraceContext): void {
    if (this.stored.size >= remembered) {
      const [oldest] = this.stored.keys();
      if (oldest !== undefined) this.stored.delete(oldest);
    }
    this.stored.set(keyOf(entry), context);
  }

  /** The trace of a message stored by this process, once; undefined = it is not recorded. */
  recall(entry: EntryKey): TraceContext | undefined {
    if (this.stored.size === 0) return undefined;
    const key = keyOf(entry);
    const context = this.stored.get(key);
    if (context) this.stored.delete(key);
    return context;
  }
}

/** The trace of a message whose span has begun, or the headers of a message from another broker, whose span has not. */
export type MessageOrigin = TraceContext | readonly Header[] | undefined;

/** Stores a device's message, and resolves once it is durable. */
export type StoreMessage = (topic: string, payload: Buffer, origin?: MessageOrigin) => Promise<void>;

/** Ends a span when the task has ended. */
async function ending(task: () => Promise<void>, end: (error?: string) => void): Promise<void> {
  try {
    await task();
    end();
  } catch (error) {
    end(error instanceof Error ? error.message : String(error));
    throw error;
  }
}

type EntryKey = Pick<Entry, 'at' | 'device' | 'channel' | 'stream'>;

const keyOf = ({ at, device, channel, stream = '' }: EntryKey) => `${at} ${channel} ${device} ${stream}`;

/** The kind of a message, as part of a span's name: of few values, unlike the topic. */
function channelOf(topic: string): string {
  return parseTopic(topic)?.channel ?? 'message';
}

function contextIn({ properties, headers }: Arrived): TraceContext | null {
  if (properties === undefined && headers === undefined) return null;
  // Most messages have other properties or none, and decoding them takes longer than this search.
  if (properties !== undefined && !properties.includes(traceHeader)) return null;
  const all = properties === undefined ? headers : headersOf({ properties }).headers;
  const value = all?.find(([name]) => name === traceHeader)?.[1];
  return typeof value === 'string' ? parseTraceparent(value) : null;
}

/** Endpoints that monitors request every few seconds. */
const monitored = new Set(['/healthz', '/readyz', '/metrics']);

/** Records the requests of the API, and continues the traces of their clients. */
export function traceRequests(app: FastifyInstance, tracer: Tracer): void {
  const spans = new WeakMap<FastifyRequest, Span>();
  app.addHook('onRequest', async (request) => {
    const { url = '' } = request.routeOptions;
    if (monitored.has(url)) return;
    const given = request.headers[traceHeader];
    const parent = typeof given === 'string' ? parseTraceparent(given) : null;
    const span = tracer.begin(() => `${request.method} ${url || 'unknown route'}`, {
      kind: 'server',
      parent,
    });
    if (span) spans.set(request, span);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { url: route } = request.routeOptions;
    const { statusCode } = reply;
    spans.get(request)?.end(
      {
        ...{ 'http.request.method': request.method, 'http.response.status_code': statusCode },
        ...{ 'http.route': route, 'url.scheme': request.protocol, 'url.path': request.url.split('?')[0] },
      },
      statusCode >= 500 ? `${statusCode}` : undefined,
    );
  });
}

/** Final states of a device in a rollout, and whether they are failures. */
const finalStates: Readonly<Partial<Record<RolloutDeviceState, boolean>>> = {
  ...{ committed: false, withdrawn: false, rolledBack: true, failed: true },
};

/**
 * Records what ended in a step of a rollout: updates of devices, waves, and the rollout. A rollout may take days, and any replica may advance
 * it, so the IDs of its spans are derived from its ID.
 */
export function traceRollout(tracer: Tracer, before: RolloutState, { head, changed }: RolloutStep): void {
  const key = `rollout ${head.id}`;
  const root = tracer.contextOf(key);
  if (!root.sampled) return;
  for (const device of changed) {
    const isFailure = finalStates[device.state];
    if (isFailure === undefined || before.devices.get(device.name)?.state === device.state) continue;
    const step = `device ${device.name} ${device.offer} ${device.state}`;
    tracer.record({
      context: tracer.contextOf(key, step),
      parentSpanId: tracer.contextOf(key, `wave ${device.wave}`).spanId,
      name: 'update device',
      ...timesOf(device, head.created),
      attributes: {
        ...{ 'aiot.rollout': head.id, 'aiot.device': device.name, 'aiot.state': device.state },
        ...{ 'aiot.attempts': device.attempts, 'aiot.wave': device.wave },
      },
      error: isFailure ? (device.error?.message ?? device.state) : undefined,
    });
  }
  head.waves.forEach(({ devices, opened }, index) => {
    const state = waveOutcome(head, index);
    const ended = endOf(head, index);
    if (opened === null || ended === null || endOf(before.head, index) !== null) return;
    tracer.record({
      context: tracer.contextOf(key, `wave ${index}`),
      parentSpanId: root.spanId,
      name: 'rollout wave',
      ...{ start: opened, end: ended },
      attributes: {
        ...{ 'aiot.rollout': head.id, 'aiot.wave': index, 'aiot.devices': devices, 'aiot.state': state },
      },
    });
  });
  if (!rolloutHasEnded(head) || rolloutHasEnded(before.head)) return;
  const { created, ended, state, reason, releases, selector } = head;
  tracer.record({
    context: root,
    name: 'rollout',
    ...{ start: created, end: ended ?? created },
    attributes: {
      ...{ 'aiot.rollout': head.id, 'aiot.selector': selector, 'aiot.state': state },
      'aiot.releases': releases.map((release) => `${release.kind} ${releaseText(release)}`).join(', '),
    },
    error: state === 'done' ? undefined : (reason?.message ?? state),
  });
}

/** End of a wave, or of a rollout that has ended before the wave; null = neither has ended. */
function endOf({ waves, ended }: RolloutHead, wave: number): number | null {
  return waves[wave]?.ended ?? ended;
}

/** From the last offer to the final state, with the steps that the device reported. */
function timesOf({ offered, times, updated }: RolloutDevice, created: number) {
  const events = Object.entries(times)
    .flatMap(([name, at]) => (typeof at === 'number' ? [{ name, at }] : []))
    .sort((a, b) => a.at - b.at);
  return { start: offered ?? created, end: updated, events };
}
