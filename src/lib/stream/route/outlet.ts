import { AiotError } from '../../core/index.js';
import { dedupeHeader, type OutgoingMessage } from '../message.js';
import type { Spool } from '../spool/index.js';
import { backOff } from './failures.js';
import { type Part, settledFlight } from './flight.js';
import type { RouteConfig } from './schema.js';
import type { RouteState } from './types.js';
import { createWriter, type WriterOptions } from './writer.js';

export interface OutletOptions extends WriterOptions {
  batch: RouteConfig['batch'];
  spool?: Spool;
  /** Something that neither the far side nor time will cure: the disk of the spool. */
  onFailure: (error: unknown) => void;
}

/** The way to one sink: batches, one write after the other, each tried until the sink has it, or the spool does. */
export interface Outlet {
  /** Resolves when the sink is open, or there is a spool to go on with. @throws what cannot pass, such as a wrong address */
  ready(): Promise<void>;
  push(part: Part): void;
  /** Nothing is under way any more; with `spool`, nothing is in that either, and without, this was the end. */
  idle(spool: boolean): Promise<void>;
  close(): Promise<void>;
  state(): RouteState['to'][number];
}

/** Most bytes in one write, so that a batch of pictures is no larger than what brokers take at once. */
const batchBytes = 768 * 1024;

export function createOutlet(options: OutletOptions): Outlet {
  const { spool, batch, giveUp } = options;
  const writer = createWriter(options);
  let queue: Part[] = [];
  let working: Promise<void> | undefined;
  let draining: Promise<void> | undefined;
  /** Ends the waiting for a fuller batch. */
  let hurry: (() => void) | undefined;
  let hurried = false;
  /** What is in the spool stays there: this is the end. */
  let leaving = false;
  /** Why the spool takes nothing now. */
  let full: string | undefined;

  async function work(): Promise<void> {
    try {
      while (queue.length > 0) {
        if (batch.time !== undefined && queue.length < batch.messages && !hurried)
          await lingerFor(batch.time);
        const parts = take();
        if (spool && (spool.messages > 0 || draining !== undefined)) await store(parts);
        else await writer.write(parts, spool && store);
      }
    } catch (error) {
      if (!giveUp.aborted) options.onFailure(error);
    }
    // In one go with the last look at the queue: what is pushed later starts the work again.
    working = undefined;
  }

  function lingerFor(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function take(): Part[] {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && count < batch.messages) {
      bytes += queue[count]?.message.payload.length ?? 0;
      if (count > 0 && bytes > batchBytes) break;
      count++;
    }
    if (count < queue.length) return queue.splice(0, count);
    const all = queue;
    queue = [];
    return all;
  }

  /** On a full disk it waits until what is sent has made room; where nothing is on it that could, for the sink itself. */
  async function store(parts: readonly Part[]): Promise<void> {
    const messages = parts.map(({ message }) => message);
    for (let failures = 0; spool; failures++) {
      try {
        await spool.append(messages, giveUp);
        break;
      } catch (error) {
        if (!(error instanceof AiotError) || error.code !== 'AIOT_DISK_FULL') throw error;
        full = error.message;
        options.onChange();
        if (spool.messages === 0 && !draining) {
          await writer.write(parts);
          full = undefined;
          return;
        }
        startDraining();
        await backOff(failures, giveUp);
      }
    }
    full = undefined;
    for (const { flight, key } of parts) {
      if (key !== undefined) options.seen?.arrived(key);
      flight.done();
    }
    startDraining();
  }

  function startDraining(): void {
    if (!spool || draining !== undefined) return;
    draining = drain(spool).catch((error: unknown) => {
      draining = undefined;
      if (!giveUp.aborted) options.onFailure(error);
    });
  }

  async function drain(from: Spool): Promise<void> {
    while (!leaving) {
      const chunk = await from.read(batch.messages, batchBytes);
      if (chunk.messages.length === 0) break;
      await writer.write(chunk.messages.map(spooledPart));
      await from.commit(chunk);
      options.onChange();
    }
    draining = undefined;
    if (from.messages > 0 && !leaving) startDraining();
  }

  const spooledState = ({ messages, bytes, dropped, trouble }: Spool) => {
    const error = full ?? trouble;
    return { messages, bytes, dropped, ...(error === undefined ? {} : { error }) };
  };

  return {
    async ready() {
      if (spool && spool.messages > 0) startDraining();
      await writer.ready(spool !== undefined);
    },
    push(part) {
      queue.push(part);
      if (queue.length >= batch.messages) hurry?.();
      working ??= work();
    },
    async idle(emptySpool) {
      hurried = true;
      hurry?.();
      while (working || (emptySpool && draining))
        await Promise.all([working, emptySpool ? draining : undefined]);
      hurried = false;
      if (emptySpool) return;
      leaving = true;
      // What is under way would be sent once more; to a far side that is not there nothing is.
      if (writer.state().state === 'connected') await draining;
    },
    async close() {
      await writer.close();
      // The last write may be on its way back with what it is to do with the spool.
      await Promise.allSettled([working, draining]);
      await spool?.close();
    },
    state: () => ({
      ...writer.state(),
      ...(spool ? { spooled: spooledState(spool) } : {}),
    }),
  };
}

function spooledPart(message: OutgoingMessage): Part {
  const found = message.headers?.find(([name]) => name === dedupeHeader)?.[1];
  const key = found === undefined ? {} : { key: Buffer.from(found as string).toString() };
  return { message, of: { source: '', time: 0, ...message }, flight: settledFlight, ...key };
}
