import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import type { Delivery, Message, OutgoingMessage, Sink, Source, StreamOptions } from '../message.js';
import type { RouteConfig } from './schema.js';

/** What `through:` names: one message in, any number out. */
export interface Processor {
  /**
   * Called in the order of the messages, once more while others are under way. What it gives goes on as messages of their own, with
   * the time and source of the one that it was made of. An error is the message's own: the route's `onError` has it.
   */
  process(message: Message): readonly OutgoingMessage[] | Promise<readonly OutgoingMessage[]>;
  /** Nothing is under way any more. */
  close?(): Promise<void>;
}

/**
 * Makes a processor, once a route, when the route starts. `settings` is what stands under its name in `through: {NAME: {…}}`, unchecked.
 * @throws AIOT_ROUTE_INVALID for settings that it does not know
 */
export type OpenProcessor = (
  settings: Readonly<Record<string, unknown>>,
  options: { signal?: AbortSignal },
) => Promise<Processor>;

/** One route, ready to run: variables filled in, paths absolute. */
export interface Route extends RouteConfig {
  name: string;
}

/** Gives a source or a sink of its own for an address; undefined = the adapter of its scheme. */
export interface StreamOpener {
  source?(url: string, options: StreamOptions): Promise<Source> | undefined;
  sink?(url: string, options: StreamOptions): Promise<Sink> | undefined;
}

export interface RunRoutesOptions extends Omit<StreamOptions, 'onState' | 'overflow' | 'signal'> {
  /** Values for `${NAME}`; they go before the environment's. */
  set?: Readonly<Record<string, string>>;
  /** Default: the process's own. */
  environment?: Readonly<Record<string, string | undefined>>;
  /** Names of the routes to run; default: all. */
  only?: readonly string[];
  open?: StreamOpener;
  /**
   * When aborted: nothing more is read, what was read is written and acknowledged, and `runRoutes` resolves. What cannot be written within
   * `drainMs` stays with its source.
   */
  signal?: AbortSignal;
  /** Default 10 000. */
  drainMs?: number;
  /** Each source is subscribed and each sink is open. */
  onOpen?: () => void;
  /** Called when a far side is lost or found again, and every `stateMs` (default 1000) while anything changes. */
  onState?: (states: readonly RouteState[]) => void;
  stateMs?: number;
}

const sideSchema = z.object({
  /** Without credentials. */
  endpoint: z.string(),
  state: z.enum(['opening', 'connected', 'failing', 'closed']),
  /** Why it fails. */
  error: z.string().optional(),
});

/** What a route has done since it started. Counts of messages. */
const routeStateSchema = z.object({
  name: z.string(),
  from: z.array(sideSchema),
  to: z.array(
    sideSchema.extend({
      written: z.int(),
      /** On disk and not yet with the far side; absent without a spool. */
      spooled: z
        .object({
          messages: z.int(),
          bytes: z.int(),
          dropped: z.int(),
          /** What cannot be written to its disk now; the route goes on. */
          error: z.string().optional(),
        })
        .optional(),
    }),
  ),
  received: z.int(),
  /** Not wanted by `where`. */
  filtered: z.int(),
  duplicates: z.int(),
  skipped: z.int(),
  deadLettered: z.int(),
  /** Writes that had to be done again. */
  retries: z.int(),
  /** Taken from the sources, and not yet safe elsewhere. */
  pending: z.int(),
  /** Why the last message with an error of its own had one. */
  lastError: z.string().optional(),
});

export type RouteState = z.output<typeof routeStateSchema>;

export const routesEndSchema = z.object({ routes: z.array(routeStateSchema) });

export type RoutesEnd = z.output<typeof routesEndSchema>;

/** A delivery on its way: acknowledged when everything that was made of it is safe elsewhere. */
export interface Flight {
  /** One thing less to wait for; the last one acknowledges. */
  done(): void;
}

/** One message for one sink. */
export interface Part {
  message: OutgoingMessage;
  /** What it was made of. */
  of: Message;
  flight: Flight;
  /** Dedupe key; absent without `dedupe`. */
  key?: string;
}

/** @param parts how many things to wait for, at least one */
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

/** The flight of a spooled message: its source has been answered already. */
export const settledFlight: Flight = { done() {} };

const firstDelayMs = 100;
const longestDelayMs = 15_000;

/**
 * Waits before the next attempt, twice as long each time, up to 15 s, with a quarter of chance so that those who were cut off together do not
 * come back together. Rejects when the signal is aborted.
 */
export async function backOff(failures: number, signal: AbortSignal): Promise<void> {
  const whole = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(failures, 20));
  await delay(whole * (0.75 + Math.random() / 4), undefined, { signal, ref: true });
}

/** Whether opening may succeed later: a far side that is not there yet, and not a wrong address or password. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof AiotError)) return true;
  return error.retryable || (error.family === 'outside' && error.exit !== 5);
}

/** Failures of a far side that are not a message's own, even where nothing says that they pass. */
const elsewhere = new Set(['AIOT_BROKER_UNREACHABLE', 'AIOT_TIMEOUT', 'AIOT_FILE_NOT_WRITABLE', 'AIOT_BUG']);

/** Whether it is the message that a sink does not take, and will not take later. */
export function isMessagesOwn(error: unknown): boolean {
  return error instanceof AiotError && !error.retryable && !elsewhere.has(error.code);
}

/** One line for states and logs. */
export function reasonOf(error: unknown): string {
  if (error instanceof AiotError) return `${error.code}: ${error.message}`.replaceAll('\n', ' ');
  return error instanceof Error ? error.message : String(error);
}
