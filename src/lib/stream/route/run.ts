import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { onAbort, untilAborted } from '../../core/tasks.js';
import type { Delivery, Source, StreamOptions } from '../message.js';
import { openSink, openSource } from '../open.js';
import { openSpool } from '../spool/spool.js';
import { parseStreamUrl } from '../url.js';
import { type Counts, createEngine, type Engine, type Target } from './engine.js';
import { loadRoutes } from './load.js';
import { createOutlet, createSeen, type Outlet } from './outlet.js';
import { processorNamed } from './processors.js';
import { createTransform } from './transform.js';
import {
  backOff,
  mayPass,
  type Processor,
  type Route,
  type RouteState,
  type RoutesEnd,
  type RunRoutesOptions,
  reasonOf,
} from './types.js';
import { openWindows, stagesOf, type WindowStage } from './window.js';

/**
 * Runs routes until their sources have no more messages or `signal` is aborted. Reading then stops, and messages
 * already read are written and acknowledged. Each message is acknowledged to its source once every sink (or spool) has
 * stored the message. Lost connections are retried. If one route cannot continue, the others are stopped as if the
 * signal had been aborted.
 * @param routes a file, or routes from `loadRoutes` or `routeOf`
 * @throws AIOT_ROUTE_INVALID; AIOT_ROUTE_MESSAGE; permanent errors while opening
 */
export async function runRoutes(
  routes: string | readonly Route[],
  options: RunRoutesOptions = {},
): Promise<RoutesEnd> {
  const { signal, set, environment, only, onState, stateMs = 1000 } = options;
  const variables = { ...(set ? { set } : {}), ...(environment ? { environment } : {}) };
  const all = typeof routes === 'string' ? await loadRoutes(routes, variables) : routes;
  const wanted = chosen(all, only);
  signal?.throwIfAborted();
  const stopping = new AbortController();
  const stop = signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal;
  const running: RunningRoute[] = [];
  const states = (): RouteState[] => running.map((route) => route.state());
  let shown = '';
  const tell = () => {
    const now = states();
    const text = JSON.stringify(now);
    if (text !== shown) onState?.(now);
    shown = text;
  };
  const timer = onState && setInterval(tell, stateMs);
  const { signal: _, onState: __, ...opening } = options;
  try {
    for (const route of wanted)
      running.push(await openRoute(route, opening, stop, () => running.length > 0 && tell()));
    try {
      await Promise.all(running.map((route) => route.ready()));
      options.onOpen?.();
    } catch (error) {
      // The signal stopped the routes before everything was open, which is a normal end.
      if (!signal?.aborted) throw error;
    }
    await runAll(running, stopping, signal?.aborted === true);
  } finally {
    stopping.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    await Promise.all(running.map((route) => route.close()));
    clearInterval(timer);
    tell();
  }
  return { routes: states() };
}

async function runAll(running: RunningRoute[], stopping: AbortController, already: boolean): Promise<void> {
  if (already) return;
  const ends = running.map((route) =>
    route.run().catch((error: unknown) => {
      stopping.abort(error);
      throw error;
    }),
  );
  const [failed] = (await Promise.allSettled(ends)).filter((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
}

function chosen(routes: readonly Route[], only: readonly string[] | undefined): readonly Route[] {
  const unknown = only?.find((name) => !routes.some((route) => route.name === name));
  if (unknown !== undefined) {
    throw new AiotError('AIOT_ROUTE_INVALID', `route ${unknown} does not exist`, {
      next: `The file contains ${routes.map(({ name }) => name).join(', ')}.`,
    });
  }
  return only && only.length > 0 ? routes.filter(({ name }) => only.includes(name)) : routes;
}

/** One running route. */
interface RunningRoute {
  /** Resolves once all sources and sinks of the route are open. */
  ready(): Promise<void>;
  /**
   * Reads until the sources have no more messages, or `stop` is aborted. Resolves once everything that was read is written.
   * @throws AIOT_ROUTE_MESSAGE and permanent errors
   */
  run(): Promise<void>;
  /** Must always be called, even after a failure. */
  close(): Promise<void>;
  state(): RouteState;
}

const defaultDrainMs = 10_000;

/** @param stop stops reading when aborted @throws the errors of loading the processor, decoder and spool */
async function openRoute(
  route: Route,
  options: Omit<RunRoutesOptions, 'signal' | 'onState'>,
  stop: AbortSignal,
  onChange: () => void,
): Promise<RunningRoute> {
  const giveUp = new AbortController();
  const counts: Counts = {
    received: 0,
    filtered: 0,
    duplicates: 0,
    skipped: 0,
    deadLettered: 0,
    retries: 0,
    lastError: undefined,
  };
  let engine: Engine | undefined;
  /** Whether everything is written; closing the sinks may then take longer. */
  let gentle = false;
  let broken: { error: unknown } | undefined;
  /** Aborted if a spool's disk fails, so that reading stops. */
  const breaking = new AbortController();
  const stopReading = AbortSignal.any([stop, breaking.signal]);
  const common = {
    exactlyOnce: route.dedupe?.exactlyOnce ?? false,
    giveUp: giveUp.signal,
    onChange,
    onRetry: (messages: number) => {
      counts.retries += messages;
    },
    onFailure: (error: unknown) => {
      broken ??= { error };
      giveUp.abort(error);
      breaking.abort(error);
    },
  };
  const processor = route.through ? await openProcessor(route, stop) : undefined;
  const targets = await openTargets();
  const deadLetter =
    route.onError.deadLetter === undefined ? undefined : outletTo(route.onError.deadLetter, false);
  const outlets = [...targets.map(({ outlet }) => outlet), ...(deadLetter ? [deadLetter] : [])];
  // With windows, the engine gets their results in place of the source's messages.
  const after = route.window ? stagesOf(route).after : route;
  const results: Counts = route.window ? { ...counts } : counts;
  const transform = await createTransform(after, route.window ? undefined : processor);
  engine = await createEngine({
    route: after,
    transform,
    targets,
    deadLetter,
    counts: results,
    stop: stopReading,
    tracer: options.tracer,
  });
  const windows: WindowStage | undefined = route.window
    ? await openWindows({ route, processor, engine, counts, stop: stopReading, onFailure: common.onFailure })
    : undefined;
  const inlets = route.from.map(inletFrom);

  const total = (name: 'filtered' | 'duplicates' | 'skipped' | 'deadLettered') =>
    counts[name] + (results === counts ? 0 : results[name]);
  const lastError = () => {
    const text = results.lastError ?? counts.lastError;
    return text === undefined ? {} : { lastError: text };
  };

  async function openTargets(): Promise<Target[]> {
    const all: Target[] = [];
    for (const [index, url] of route.to.entries()) {
      const path =
        route.spool && (route.to.length > 1 ? join(route.spool.path, String(index)) : route.spool.path);
      const spool = route.spool && path ? await openSpool({ ...route.spool, path }) : undefined;
      const seen = route.dedupe ? createSeen(route.dedupe.window) : undefined;
      all.push({
        url,
        seen,
        outlet: outletTo(url, true, { ...(spool ? { spool } : {}), ...(seen ? { seen } : {}) }),
      });
    }
    return all;
  }

  function outletTo(
    url: string,
    main: boolean,
    own: Partial<Pick<Parameters<typeof createOutlet>[0], 'spool' | 'seen'>> = {},
  ): Outlet {
    return createOutlet({
      ...common,
      ...own,
      endpoint: parseStreamUrl(url).endpoint,
      batch: route.batch,
      exactlyOnce: main && common.exactlyOnce,
      open: (onHeadersDropped) => {
        const settings: StreamOptions = { ...streamOptions(route, options, url), onHeadersDropped };
        return options.open?.sink?.(url, settings) ?? openSink(url, settings);
      },
      ...(main && route.onError.policy !== 'retry'
        ? { refused: (part, error) => engine?.refused(part, error, own.seen) }
        : {}),
    });
  }

  function inletFrom(url: string): Inlet {
    return createInlet({
      endpoint: parseStreamUrl(url).endpoint,
      open: (onState) => {
        const settings: StreamOptions = { ...streamOptions(route, options, url), overflow: 'wait', onState };
        return options.open?.source?.(url, settings) ?? openSource(url, settings);
      },
      take: (batch) => (windows ?? engine)?.take(batch),
      stop: stopReading,
      onChange,
    });
  }

  return {
    async ready() {
      // Sinks are opened first, so that messages have a destination.
      await untilAborted(Promise.all(outlets.map((outlet) => outlet.ready())), stop);
      await Promise.all(inlets.map((inlet) => inlet.ready()));
    },
    async run() {
      try {
        await Promise.all(inlets.map((inlet) => inlet.read()));
        if (!stopReading.aborted) await windows?.finish();
      } catch (error) {
        broken ??= { error };
      }
      const ended = !stop.aborted && !broken;
      const idle = async () => {
        for (const outlet of outlets) await outlet.idle(ended);
        // Waits for messages that were rejected in the meantime.
        await deadLetter?.idle(ended);
      };
      const settled = idle().then(() => {
        gentle = !giveUp.signal.aborted;
      });
      if (ended) await Promise.race([settled, whenStopped(stop, options.drainMs)]);
      else await Promise.race([settled, delayed(options.drainMs)]);
      if (broken) throw broken.error;
    },
    async close() {
      const connected = outlets.every((outlet) => outlet.state().state === 'connected');
      if (!gentle || !connected) giveUp.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
      await Promise.all(outlets.map((outlet) => outlet.close()));
      // Sources are closed last, so that acknowledgments reach the peer.
      await Promise.allSettled(inlets.map((inlet) => inlet.close()));
      await windows?.close();
      await processor?.close?.();
    },
    state: () => ({
      name: route.name,
      from: inlets.map((inlet) => inlet.state()),
      to: targets.map(({ outlet }) => outlet.state()),
      received: counts.received,
      filtered: total('filtered'),
      duplicates: total('duplicates'),
      skipped: total('skipped'),
      deadLettered: total('deadLettered'),
      retries: counts.retries,
      ...(windows ? { windows: windows.state() } : {}),
      pending: engine?.pending ?? 0,
      ...lastError(),
    }),
  };
}

function openProcessor(route: Route, signal: AbortSignal): Promise<Processor> {
  const { processor, settings } = route.through ?? { processor: '', settings: {} };
  return processorNamed(processor)(settings, { signal });
}

/** Stream options of a route. If no group is given, Kafka stores the route's position under the group `aiot-NAME`. */
function streamOptions(
  route: Route,
  options: Omit<RunRoutesOptions, 'signal' | 'onState'>,
  url: string,
): StreamOptions {
  const { set, environment, only, open, drainMs, onOpen, stateMs, tracer, ...stream } = options;
  const { scheme } = parseStreamUrl(url);
  const group =
    scheme.startsWith('kafka') && stream.group === undefined ? { group: `aiot-${route.name}` } : {};
  return { ...stream, ...group };
}

function delayed(ms = defaultDrainMs): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

async function whenStopped(stop: AbortSignal, drainMs?: number): Promise<void> {
  await new Promise<void>((resolve) => onAbort(stop, resolve));
  await delayed(drainMs);
}

interface InletOptions {
  /** Address without credentials, shown in states until the source is open. */
  endpoint: string;
  open: (onState: NonNullable<StreamOptions['onState']>) => Promise<Source>;
  /** Processes a batch. The source waits until the promise resolves. */
  take: (batch: readonly Delivery[]) => Promise<void> | void;
  /** Once aborted, reading stops. */
  stop: AbortSignal;
  onChange: () => void;
}

/** Reads from one source. Retries opening until the source is reachable, and reopens it if it fails. */
interface Inlet {
  /** Resolves once the source is open. @throws permanent errors, such as a wrong address; the abort reason of `stop` */
  ready(): Promise<void>;
  /**
   * Resolves once the source has no more messages, or at `stop`. The source stays open, so that messages in flight can be acknowledged.
   * @throws the errors of `take`
   */
  read(): Promise<void>;
  close(): Promise<void>;
  state(): RouteState['from'][number];
}

function createInlet(options: InletOptions): Inlet {
  const { stop } = options;
  let source: Source | undefined;
  let state: RouteState['from'][number]['state'] = 'opening';
  let error: string | undefined;

  const become = (next: typeof state, why?: unknown) => {
    const reason = why === undefined ? undefined : reasonOf(why);
    if (state === next && error === reason) return;
    state = next;
    error = reason;
    options.onChange();
  };

  async function open(retryAll: boolean): Promise<Source> {
    for (let failures = 0; ; failures++) {
      stop.throwIfAborted();
      const opening = options.open((to, lost) => {
        if (state === 'closed') return;
        if (to === 'connected') become('connected');
        else become('failing', lost ?? 'the connection was lost');
      });
      try {
        const found = await untilAborted(opening, stop);
        become('connected');
        return found;
      } catch (cause) {
        if (stop.aborted) {
          // The source is no longer needed, so it is closed once it is open.
          opening.then((late) => late.close()).catch(() => {});
          throw cause;
        }
        if (!retryAll && !mayPass(cause)) throw cause;
        become('failing', cause);
        await backOff(failures, stop);
      }
    }
  }

  /** Returns true at the source's end, false at `stop`. @throws TakeError, and the source's errors */
  async function readOne(from: Source): Promise<boolean> {
    const batches = from[Symbol.asyncIterator]();
    for (;;) {
      const next = await untilAborted(batches.next(), stop).catch((cause: unknown) => {
        if (stop.aborted) return undefined;
        throw cause;
      });
      if (next === undefined) return false;
      if (next.done) return true;
      try {
        await options.take(next.value);
      } catch (cause) {
        throw new TakeError(cause);
      }
      if (stop.aborted) return false;
    }
  }

  return {
    async ready() {
      source = await open(false);
    },
    async read() {
      for (let failures = 0; source; failures++) {
        try {
          await readOne(source);
          return;
        } catch (cause) {
          if (cause instanceof TakeError) throw cause.cause;
          if (!mayPass(cause)) throw cause;
          become('failing', cause);
          // The source was lost. It will redeliver its unacknowledged messages.
          await source.close().catch(() => {});
          await backOff(failures, stop).catch(() => {});
          if (stop.aborted) return;
          const again = await open(true).catch((error: unknown) => {
            if (!stop.aborted) throw error;
          });
          if (!again) return;
          source = again;
        }
      }
    },
    async close() {
      await source?.close();
      become('closed');
    },
    state: () => ({
      endpoint: source?.endpoint ?? options.endpoint,
      state,
      ...(error === undefined ? {} : { error }),
    }),
  };
}

/** An error from `take`, as opposed to an error from the source. */
class TakeError extends Error {
  constructor(cause: unknown) {
    super('not accepted', { cause });
  }
}
