import { AiotError } from '../../core/errors.js';
import { untilAborted } from '../../core/tasks.js';
import { formatTraceparent, type TraceContext, type Tracer, traceHeader } from '../../core/trace.js';
import { decoderFor } from '../decode/decoder.js';
import { compileExpression } from '../decode/expression.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import { type Delivery, dedupeHeader, type Header, type Message, mqttHeaders } from '../message.js';
import type { Outlet, Seen } from './outlet.js';
import { type Made, type Transform, topicAt } from './transform.js';
import { createFlight, type Part, type Route, reasonOf } from './types.js';

/** A destination of a route. `seen` contains the deduplication keys of messages already sent to it. */
export interface Target {
  url: string;
  outlet: Outlet;
  seen: Seen | undefined;
}

export interface Counts {
  received: number;
  filtered: number;
  duplicates: number;
  skipped: number;
  deadLettered: number;
  retries: number;
  lastError: string | undefined;
}

interface EngineOptions {
  route: Route;
  transform: Transform;
  targets: readonly Target[];
  deadLetter: Outlet | undefined;
  counts: Counts;
  /** When aborted, `take` stops waiting for room, and messages that do not fit stay with their source. */
  stop: AbortSignal;
  /** As in RunRoutesOptions. */
  tracer?: Tracer | undefined;
}

/** Takes deliveries, transforms them as specified by the route, and passes the results to the outlets. */
export interface Engine {
  /** Processes a batch. Resolves when there is room for more. @throws AIOT_ROUTE_MESSAGE */
  take(batch: readonly Delivery[]): Promise<void>;
  /**
   * Applies the route's policy to a message that one target rejects. Other targets still receive the message.
   * @param seen the keys that were sent to that target
   */
  refused(part: Part, error: unknown, seen?: Seen): void;
  /**
   * Applies the route's policy to a message that could not be processed before it reached the engine.
   * @throws AIOT_ROUTE_MESSAGE if the policy is to stop rather than lose the message
   */
  fail(delivery: Delivery, error: unknown): void;
  /** Number of messages that were read from the sources and are still being processed. */
  readonly pending: number;
}

/** Limits for the work in progress, which allow for several batches, and at most 32 MB of pictures. */
const most = { batches: 4, messages: 4000, bytes: 32 * 1024 * 1024 };

/** Number of messages that are transformed concurrently if expressions are asynchronous. Output keeps arrival order. */
const together = 500;

export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { route, transform, targets, deadLetter, counts, stop, tracer } = options;
  const gate = createGate(Math.max(most.messages, most.batches * route.batch.messages), most.bytes);
  const topicsAt = targets.map(({ url }) => topicAt(url));
  const isNats = targets.map(({ url }) => url.startsWith('nats'));
  const idHeaders = targets.map(({ url }) => (route.dedupe?.exactlyOnce ? idHeader(url) : undefined));
  const keyOf = await dedupeKeyOf(route);

  /** Passes on the results of a delivery to the outlets. */
  function send(delivery: Delivery, made: readonly Made[], key: string | undefined): void {
    if (made.length === 0) {
      counts.filtered++;
      delivery.ack();
      return;
    }
    const flight = fly(delivery, made.length * targets.length);
    made.forEach((one, index) => {
      const partKey = key === undefined ? undefined : index === 0 ? key : `${key}#${index}`;
      targets.forEach(({ outlet, seen }, at) => {
        if (partKey !== undefined && seen && !seen.claim(partKey, flight)) {
          if (at === 0) counts.duplicates++;
          return;
        }
        const own = isNats[at] ? withoutCommands(one) : one;
        const message = outgoing(own, topicsAt[at]?.(one.of) ?? '', partKey && idHeaders[at], partKey);
        if (delivery.message.trace) continueTrace(message, delivery.message.trace);
        outlet.push({ message, of: one.of, flight, ...(partKey === undefined ? {} : { key: partKey }) });
      });
    });
  }

  function fly(delivery: Delivery, parts: number) {
    const bytes = delivery.message.payload.length;
    gate.enter(bytes);
    return createFlight(delivery, parts, () => gate.leave(bytes));
  }

  /**
   * Applies the route's policy to a message that could not be transformed.
   * @throws AIOT_ROUTE_MESSAGE if the policy is to stop rather than lose the message
   */
  function failed(delivery: Delivery, error: unknown): void {
    const { message } = delivery;
    counts.lastError = reasonOf(error);
    if (route.onError.policy === 'skip') {
      counts.skipped++;
      delivery.ack();
    } else if (deadLetter) {
      counts.deadLettered++;
      deadLetter.push({ ...deadPart(message, error, route), flight: fly(delivery, 1) });
    } else {
      throw new AiotError(
        'AIOT_ROUTE_MESSAGE',
        `${route.name}: a message from ${message.source}, topic ${message.topic}: ${counts.lastError}`,
        { cause: error },
      );
    }
  }

  async function takeSome(arrived: readonly Delivery[]): Promise<void> {
    const deliveries = tracer ? arrived.map((delivery) => traced(delivery, route.name, tracer)) : arrived;
    const results: (Result | Promise<Result>)[] = deliveries.map(({ message }) => attempt(message));
    const settled = results.some((result) => result instanceof Promise)
      ? await Promise.all(results)
      : results;
    deliveries.forEach((delivery, index) => {
      const result = settled[index] as Result;
      counts.received++;
      if ('error' in result) failed(delivery, result.error);
      else send(delivery, result.made, result.key);
    });
  }

  /** Transforms a message. Never throws: errors that the message causes are part of the result. */
  function attempt(message: Message): Result | Promise<Result> {
    try {
      const made = transform(message);
      const key = keyOf?.(message);
      if (made instanceof Promise || key instanceof Promise) {
        return Promise.all([made, key]).then(
          ([all, text]) => ({ made: all, key: text }),
          (error: unknown) => ({ error }),
        );
      }
      return { made, key };
    } catch (error) {
      return { error };
    }
  }

  return {
    async take(batch) {
      // A processor gets one message at a time, because pictures are large and the processor may have state.
      const step = route.through ? 1 : together;
      for (let at = 0; at < batch.length; at += step) {
        const room = gate.room();
        if (room !== undefined) await untilAborted(room, stop).catch(() => {});
        if (stop.aborted) return;
        await takeSome(batch.length <= step ? batch : batch.slice(at, at + step));
      }
    },
    refused(part, error, seen) {
      counts.lastError = reasonOf(error);
      if (part.key !== undefined) seen?.arrived(part.key);
      if (deadLetter) {
        counts.deadLettered++;
        deadLetter.push({ ...deadPart(part.of, error, route), flight: part.flight });
      } else {
        counts.skipped++;
        part.flight.done();
      }
    },
    fail: failed,
    get pending() {
      return gate.messages;
    },
  };
}

/** Records how long a message is in the route, as a step of its trace. */
function traced(delivery: Delivery, route: string, tracer: Tracer): Delivery {
  const { message } = delivery;
  if (!message.trace) return delivery;
  const span = tracer.step(`route ${route}`, message.trace);
  const end = (error?: string) => span.end({ 'messaging.destination.name': message.topic }, error);
  return {
    message: { ...message, trace: span.context },
    ack() {
      end();
      delivery.ack();
    },
    nack() {
      end('the message was not stored');
      delivery.nack();
    },
  };
}

/** Passes the route's context on to the receivers of a message. */
function continueTrace(message: Part['message'], context: TraceContext): void {
  const others = (message.headers ?? []).filter(([name]) => name !== traceHeader);
  message.headers = [...others, [traceHeader, formatTraceparent(context)]];
}

type Result = { made: readonly Made[]; key: string | undefined } | { error: unknown };

/**
 * Header for the deduplication key. JetStream itself drops a message with a known id (docs.nats.io, "Message
 * Deduplication"). For other sinks, the route looks up the key.
 */
const idHeader = (url: string) => (/^nats/.test(url) ? 'Nats-Msg-Id' : dedupeHeader);

/**
 * Renames headers that JetStream obeys, such as `Nats-Msg-Id` and `Nats-Rollup`, if they come from another broker.
 * Otherwise, any client of that broker could cause messages to be discarded. Headers from the route or from a NATS
 * source are unchanged.
 */
function withoutCommands(made: Made): Made {
  const { headers, of } = made;
  const given = of.headers;
  if (!headers || !given || of.source.startsWith('nats')) return made;
  const isCommand = (header: Header) => /^nats-/i.test(header[0]) && given.includes(header);
  if (!headers.some(isCommand)) return made;
  return {
    ...made,
    headers: headers.map((header) => (isCommand(header) ? [`Original-${header[0]}`, header[1]] : header)),
  };
}

/** @param id name of the header for the deduplication key, for sinks with exactlyOnce */
function outgoing(made: Made, topic: string, id?: string, key?: string): Part['message'] {
  const { payload, headers, tombstone, retain, of } = made;
  const withKey: readonly Header[] | undefined =
    id !== undefined && key !== undefined
      ? [...(headers ?? []).filter(([name]) => name !== id), [id, key]]
      : headers;
  return {
    topic: made.topic ?? topic,
    payload,
    time: of.time,
    ...(made.key === undefined ? {} : { key: made.key }),
    ...(withKey === undefined ? {} : { headers: withKey }),
    ...(tombstone ? { tombstone } : {}),
    ...(retain ? { retain } : {}),
    ...expiryOf(withKey),
  };
}

/**
 * Expiry time from the headers, ms since 1970. Messages with an interval of 0 are sent unchanged, because they would
 * expire immediately.
 */
function expiryOf(headers: readonly Header[] | undefined): Pick<Part['message'], 'expires'> {
  const value = headers?.find(([name]) => name === mqttHeaders.messageExpiryInterval)?.[1];
  const seconds = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : 0;
  return seconds === 0 ? {} : { expires: Date.now() + seconds * 1000 };
}

/** The message for the dead-letter address: the original one, with the error in headers. */
function deadPart(message: Message, error: unknown, route: Route): Omit<Part, 'flight'> {
  const { topic, payload, time, key, headers = [] } = message;
  const about: Header[] = [
    ['aiot-route', route.name],
    ['aiot-topic', topic],
    ['aiot-error', reasonOf(error)],
  ];
  const own = topicAt(route.onError.deadLetter ?? '')(message);
  return {
    of: message,
    message: { topic: own, payload, time, headers: [...headers, ...about], ...(key ? { key } : {}) },
  };
}

/** Compiles the deduplication key's expression; keys are text. A message without a result has no key, and is always sent. */
async function dedupeKeyOf(
  route: Route,
): Promise<((message: Message) => string | undefined | Promise<string | undefined>) | undefined> {
  if (!route.dedupe) return undefined;
  const { format, schema, type } = route.decode;
  const decode: Decoder = await decoderFor(format as DecoderName, {
    ...(schema === undefined ? {} : { schema }),
    ...(type === undefined ? {} : { type }),
  });
  const expression = compileExpression(route.dedupe.key);
  const textOf = (value: unknown) =>
    value === undefined || value === null
      ? undefined
      : typeof value === 'string'
        ? value
        : JSON.stringify(value);
  return (message) => {
    const value = expression.evaluate(message, decode);
    return value instanceof Promise ? value.then(textOf) : textOf(value);
  };
}

/** Limits the amount of work in progress. Above the limit, the caller waits. */
interface Gate {
  readonly messages: number;
  enter(bytes: number): void;
  leave(bytes: number): void;
  /** Returns undefined if there is room now; otherwise, a promise that resolves when there is room. */
  room(): Promise<void> | undefined;
}

function createGate(mostMessages: number, mostBytes: number): Gate {
  let messages = 0;
  let held = 0;
  let waiting: (() => void)[] = [];
  const full = () => messages >= mostMessages || held >= mostBytes;
  return {
    get messages() {
      return messages;
    },
    enter(bytes) {
      messages++;
      held += bytes;
    },
    leave(bytes) {
      messages--;
      held -= bytes;
      if (waiting.length === 0 || full()) return;
      const woken = waiting;
      waiting = [];
      for (const resolve of woken) resolve();
    },
    room: () => (full() ? new Promise((resolve) => waiting.push(resolve)) : undefined),
  };
}
