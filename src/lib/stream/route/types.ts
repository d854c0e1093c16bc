import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { plural, thousands } from '../../core/figures.js';
import { backOffMs, withJitter } from '../../core/time.js';
import type { Tracer } from '../../core/trace.js';
import type { Delivery, Message, OutgoingMessage, Sink, Source, StreamOptions } from '../message.js';
import type { RouteConfig } from './schema.js';

/** A processor named by `through:`, which converts a message to any number of messages. */
export interface Processor {
  /**
   * Called in the order of the messages, possibly while earlier messages are in progress. Its results are passed on as
   * separate messages, with the time and source of the original one. An error belongs to the message, and the route's
   * `onError` handles it.
   */
  process(message: Message): readonly OutgoingMessage[] | Promise<readonly OutgoingMessage[]>;
  /** Resolves once nothing is in progress. */
  close?(): Promise<void>;
}

/**
 * Creates a processor when the route starts, once for each route. `settings` is the unvalidated value of NAME in
 * `through: {NAME: {…}}`.
 * @throws AIOT_ROUTE_INVALID for unknown settings
 */
export type OpenProcessor = (
  settings: Readonly<Record<string, unknown>>,
  options: { signal?: AbortSignal },
) => Promise<Processor>;

/** One route that is ready to run, with variables replaced and paths made absolute. */
export interface Route extends RouteConfig {
  name: string;
}

/** Opens addresses in place of the adapters; returns undefined to use the adapter for the address's scheme. */
export interface StreamOpener {
  source?(url: string, options: StreamOptions): Promise<Source> | undefined;
  sink?(url: string, options: StreamOptions): Promise<Sink> | undefined;
}

export interface RunRoutesOptions extends Omit<StreamOptions, 'onState' | 'overflow' | 'signal'> {
  /** Values for `${NAME}`, which take precedence over the environment. */
  set?: Readonly<Record<string, string>>;
  /** Environment variables; default: the process's own. */
  environment?: Readonly<Record<string, string | undefined>>;
  /** Names of the routes to run; default: all. */
  only?: readonly string[];
  open?: StreamOpener;
  /**
   * Once aborted, reading stops, messages already read are written and acknowledged, and `runRoutes` resolves. Messages that
   * cannot be written within `drainMs` stay with their source.
   */
  signal?: AbortSignal;
  /** Time to write messages after `signal` is aborted, ms; default 10 000. */
  drainMs?: number;
  /** Called once every source is subscribed and every sink is open. */
  onOpen?: () => void;
  /** Called when a connection is lost or restored, and every `stateMs` (default 1000) if anything has changed. */
  onState?: (states: readonly RouteState[]) => void;
  stateMs?: number;
  /** Records the steps of messages whose traces are recorded; absent = no traces are recorded. */
  tracer?: Tracer | undefined;
}

const sideSchema = z.object({
  /** Address of the source or sink, without credentials. */
  endpoint: z.string(),
  state: z.enum(['opening', 'connected', 'failing', 'closed']),
  /** Why the connection failed. */
  error: z.string().optional(),
});

/** Counters of a route since it started, in messages. */
const routeStateSchema = z.object({
  name: z.string(),
  from: z.array(sideSchema),
  to: z.array(
    sideSchema.extend({
      written: z.int(),
      /**
       * Number of messages written without their headers because the destination cannot carry headers (MQTT 3.1.1);
       * absent if zero.
       */
      withoutHeaders: z.int().optional(),
      /**
       * Number of messages that expired (MQTT 5) before they could be written, and were therefore dropped; absent if
       * zero.
       */
      expired: z.int().optional(),
      /** Number of messages in the spool that are not delivered yet; absent without a spool. */
      spooled: z
        .object({
          messages: z.int(),
          bytes: z.int(),
          dropped: z.int(),
          /** Reason why the spool's disk currently accepts no messages; the route continues. */
          error: z.string().optional(),
        })
        .optional(),
    }),
  ),
  received: z.int(),
  /** Number of messages excluded by `where`. */
  filtered: z.int(),
  duplicates: z.int(),
  skipped: z.int(),
  deadLettered: z.int(),
  /** Number of messages whose write was retried. */
  retries: z.int(),
  /** Windows of a route with `window`. */
  windows: z
    .object({
      open: z.int(),
      /** Number of messages in open windows, and in results that are not delivered yet. */
      messages: z.int(),
      /** Number of messages that arrived after their window was closed. */
      late: z.int(),
    })
    .optional(),
  /** Number of messages that were read from the sources and are still being processed. */
  pending: z.int(),
  /** The last error caused by a message. */
  lastError: z.string().optional(),
});

export type RouteState = z.output<typeof routeStateSchema>;

export const routesEndSchema = z.object({ routes: z.array(routeStateSchema) });

export type RoutesEnd = z.output<typeof routesEndSchema>;

/** A delivery in progress, which is acknowledged once all messages derived from it are stored at their destinations. */
export interface Flight {
  /** Marks one part as done. The last part acknowledges the delivery. */
  done(): void;
}

/** One message for one sink. */
export interface Part {
  message: OutgoingMessage;
  /** The message from which the part was made. */
  of: Message;
  flight: Flight;
  /** Deduplication key; absent without `dedupe`. */
  key?: string;
}

/** @param parts number of parts to wait for, at least one */
export function createFlight(delivery: Delivery, parts: number, onSettled: () => void): Flight {
  let left = parts;
  return {
    done() {
      left--;
      if (left !== 0) return;
      delivery.ack();
      onSettled();
    },
  };
}

/** The flight of a spooled message, which has already been acknowledged to its source. */
export const settledFlight: Flight = { done() {} };

const firstDelayMs = 100;
const longestDelayMs = 15_000;

/**
 * Waits before the next attempt. The delay doubles each time up to 15 s. A quarter of it is random, so that clients
 * that were disconnected at the same time do not return at the same time. Rejects if the signal is aborted.
 */
export async function backOff(failures: number, signal: AbortSignal): Promise<void> {
  const wait = withJitter(backOffMs(failures + 1, firstDelayMs, longestDelayMs));
  await delay(wait, undefined, { signal, ref: true });
}

/** Whether opening may succeed later. It may succeed if the peer is unreachable, but not if the address or the password is wrong. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof AiotError)) return true;
  return error.retryable || (error.family === 'outside' && error.exit !== 5);
}

/** Codes of errors that a message never causes, even if they are not marked as retryable. */
const elsewhere = new Set(['AIOT_BROKER_UNREACHABLE', 'AIOT_TIMEOUT', 'AIOT_FILE_NOT_WRITABLE', 'AIOT_BUG']);

/** Whether a sink rejects the message itself, so that retrying would not help. */
export function isMessagesOwn(error: unknown): boolean {
  return error instanceof AiotError && !error.retryable && !elsewhere.has(error.code);
}

/** An error as one line, for states and logs. */
export function reasonOf(error: unknown): string {
  if (error instanceof AiotError) return `${error.code}: ${error.message}`.replaceAll('\n', ' ');
  return error instanceof Error ? error.message : String(error);
}

/** The counters in one line, such as `12 345 in, 12 300 out, 45 waiting, 1 200/s`. */
export function stateText(route: RouteState, rate?: number): string {
  const written = route.to.reduce((sum, to) => sum + to.written, 0);
  const spooled = route.to.reduce((sum, to) => sum + (to.spooled?.messages ?? 0), 0);
  const dropped = route.to.reduce((sum, to) => sum + (to.spooled?.dropped ?? 0), 0);
  const expired = route.to.reduce((sum, to) => sum + (to.expired ?? 0), 0);
  const bare = route.to.reduce((sum, to) => sum + (to.withoutHeaders ?? 0), 0);
  const parts: [number, string][] = [
    [route.pending, 'waiting'],
    [spooled, 'in the spool'],
    [route.filtered, 'filtered'],
    [route.windows?.messages ?? 0, 'in windows'],
    [route.windows?.late ?? 0, 'too late'],
    [route.duplicates, 'duplicates'],
    [route.skipped, 'skipped'],
    [route.deadLettered, 'in the dead-letter sink'],
    [dropped, 'dropped'],
    [expired, 'expired'],
    [bare, 'without their headers'],
  ];
  return [
    `${plural(route.received, 'message')} in`,
    `${thousands(written)} out`,
    ...parts.filter(([count]) => count > 0).map(([count, text]) => `${thousands(count)} ${text}`),
    ...(rate === undefined ? [] : [`${thousands(Math.round(rate))}/s`]),
  ].join(', ');
}
