import { join } from 'node:path';
import { AiotError, onAbort, untilAborted } from '../../core/index.js';
import { openSink, openSource } from '../open.js';
import type { StreamOptions } from '../options.js';
import { openSpool } from '../spool/index.js';
import { parseStreamUrl } from '../url.js';
import { createSeen } from './dedupe.js';
import { type Counts, createEngine, type Engine, type Target } from './engine.js';
import { createInlet, type Inlet } from './inlet.js';
import { createOutlet, type Outlet } from './outlet.js';
import { processorNamed } from './processors.js';
import { createTransform } from './transform.js';
import type { Processor, Route, RouteState, RunRoutesOptions } from './types.js';

/** One route at work. */
export interface RunningRoute {
  /** All its sources and sinks are open. */
  ready(): Promise<void>;
  /** Resolves when its sources have no more, or at `stop`, and what was read is written. @throws AIOT_ROUTE_MESSAGE and what cannot pass */
  run(): Promise<void>;
  /** Whatever has become of it. */
  close(): Promise<void>;
  state(): RouteState;
}

const defaultDrainMs = 10_000;

/** @param stop aborted: nothing more is read. @throws what loading the processor, decoder and spool throws */
export async function openRoute(
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
  /** All is written: sinks may take their time to close. */
  let gentle = false;
  let broken: { error: unknown } | undefined;
  /** Ends the reading when a spool's disk is no longer there. */
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
  const transform = await createTransform(route, processor);
  engine = await createEngine({ route, transform, targets, deadLetter, counts, stop: stopReading });
  const inlets = route.from.map(inletFrom);

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
      open: () => {
        const settings = streamOptions(route, options, url);
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
      take: (batch) => engine?.take(batch),
      stop: stopReading,
      onChange,
    });
  }

  return {
    async ready() {
      // Sinks first: what is read has somewhere to go.
      await untilAborted(Promise.all(outlets.map((outlet) => outlet.ready())), stop);
      await Promise.all(inlets.map((inlet) => inlet.ready()));
    },
    async run() {
      try {
        await Promise.all(inlets.map((inlet) => inlet.read()));
      } catch (error) {
        broken ??= { error };
      }
      const ended = !stop.aborted && !broken;
      const idle = async () => {
        for (const outlet of outlets) await outlet.idle(ended);
        // What was refused on the way.
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
      // Last: what has been acknowledged is told to the far side.
      await Promise.allSettled(inlets.map((inlet) => inlet.close()));
      await processor?.close?.();
    },
    state: () => ({
      name: route.name,
      from: inlets.map((inlet) => inlet.state()),
      to: targets.map(({ outlet }) => outlet.state()),
      received: counts.received,
      filtered: counts.filtered,
      duplicates: counts.duplicates,
      skipped: counts.skipped,
      deadLettered: counts.deadLettered,
      retries: counts.retries,
      pending: engine?.pending ?? 0,
      ...(counts.lastError === undefined ? {} : { lastError: counts.lastError }),
    }),
  };
}

function openProcessor(route: Route, signal: AbortSignal): Promise<Processor> {
  const { processor, settings } = route.through ?? { processor: '', settings: {} };
  return processorNamed(processor)(settings, { signal });
}

/** Kafka remembers where a route stood by a group of its name, where the address has none. */
function streamOptions(
  route: Route,
  options: Omit<RunRoutesOptions, 'signal' | 'onState'>,
  url: string,
): StreamOptions {
  const { set, environment, only, open, drainMs, onOpen, stateMs, ...stream } = options;
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
