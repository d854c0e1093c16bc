import { onAbort } from '../../core/tasks.js';
import type { Delivery } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import { reading } from './layout.js';
import { opened, reasonOf, type Stage } from './stage.js';

/**
 * How long the first messages are collected before they are sorted, ms. A server sends new messages and those that an earlier reader did
 * not acknowledge in any order, even interleaved.
 */
const settlingMs = 1000;

/** Passes batches on, but merges those of the first second into one, in stream order. */
async function* settled(
  source: AsyncIterable<readonly Delivery[]>,
  { clock, signal }: Stage,
): AsyncGenerator<readonly Delivery[]> {
  const batches = source[Symbol.asyncIterator]();
  const early: Delivery[] = [];
  const over = clock.sleep(settlingMs, signal).catch(() => {});
  let next = batches.next();
  for (;;) {
    const got = await Promise.race([next, over]);
    if (!got || got.done) break;
    early.push(...got.value);
    next = batches.next();
  }
  if (early.length > 0) yield early.sort((a, b) => sequenceOf(a) - sequenceOf(b));
  for (;;) {
    const got = await next;
    if (got.done) return;
    yield got.value;
    next = batches.next();
  }
}

const sequenceOf = ({ message }: Delivery) => Number(message.position);

/**
 * Reads a subject's messages in batches until the stage ends, across server outages. At the end, unacknowledged messages are immediately
 * released for the next reader. `onOpen` is called whenever reading starts, including after a reconnect.
 */
export async function* follow(
  stage: Stage,
  stream: string,
  subject: string,
  onOpen?: () => void,
): AsyncGenerator<readonly Delivery[]> {
  const { server, signal } = stage;
  while (!signal.aborted) {
    const source = await opened(stage, server.endpoint, () =>
      openSource(server.urlOf(subject), {
        ...server.options,
        ...reading(stream, subject),
        signal,
        overflow: 'wait',
      }),
    ).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      throw error;
    });
    if (!source) return;
    onOpen?.();
    const close = () => void source.close();
    const leave = onAbort(signal, close);
    try {
      yield* settled(source, stage);
    } catch (error) {
      if (!signal.aborted) {
        stage.tell({ kind: 'away', what: `${server.endpoint}, ${subject}`, why: reasonOf(error) });
      }
    } finally {
      leave();
      await source.close();
    }
    if (!signal.aborted) await stage.clock.sleep(250, signal).catch(() => {});
  }
}
