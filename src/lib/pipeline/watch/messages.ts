import { onAbort } from '../../core/tasks.js';
import type { Source } from '../../stream/message.js';
import { messageOf, type Trigger } from './watch.js';

/** Commands that start a run. The guide's clients send them to the topic of control messages. */
const asking = new Set(['extract-data', 'train-model']);

interface Messages {
  open(signal: AbortSignal): Promise<Source>;
  clock: { now(): number; sleep(ms: number, signal?: AbortSignal): Promise<void> };
  trouble(text: string): void;
}

/** Delay before a broken connection is retried, ms. */
const againMs = 5000;

/** Functions for announcing a new model to requesters. */
interface Answering {
  /** Sends a message to the topic of control messages. */
  answer(payload: Uint8Array): Promise<void>;
  /** The name under which boards fetch a version. */
  nameOf(model: { name: string; version: number }): Promise<string>;
}

/**
 * Fires on `{"command":"extract-data"|"train-model","payload":…}`. Announces the model of a successful run with `download-model`, as the
 * guide's services do. The guide's boards accept messages of at most 256 bytes.
 * @param answering null = no announcement, because the run itself has sent an announcement, or because boards cannot fetch the model
 */
export function controlTrigger(messages: Messages, answering: Answering | null): Trigger {
  let asked = false;
  return {
    kind: 'control',
    watch: (fire, signal) =>
      follow(messages, signal, (payload) => {
        const { command, payload: what } = commandIn(payload);
        if (!asking.has(command)) return;
        asked = true;
        fire(what === '' ? command : `${command} ${what.slice(0, 80)}`);
      }),
    async succeeded(model) {
      if (!asked || !answering || model === null || model.version === null) return;
      asked = false;
      const { name, version } = model;
      const payload = await answering.nameOf({ name, version });
      await answering.answer(Buffer.from(JSON.stringify({ command: 'download-model', payload })));
    },
  };
}

/** Fires on each request. The HTTP server rejects requests without a valid signature. */
export function webhookTrigger(messages: Messages): Trigger {
  return {
    kind: 'webhook',
    watch: (fire, signal) =>
      follow(messages, signal, (payload) => {
        const { command } = commandIn(payload);
        fire(command === '' ? 'a webhook' : `a webhook: ${command.slice(0, 80)}`);
      }),
  };
}

async function follow(
  { open, clock, trouble }: Messages,
  signal: AbortSignal,
  take: (payload: Uint8Array) => void,
): Promise<void> {
  // If the first connection fails, the watch ends. Later failures may be temporary, so the connection is retried.
  for (let first = true; !signal.aborted; first = false) {
    try {
      const source = await open(signal);
      const close = () => void source.close().catch(() => {});
      const leave = onAbort(signal, close);
      try {
        for await (const batch of source) {
          for (const { message, ack } of batch) {
            take(message.payload);
            ack();
          }
        }
      } finally {
        leave();
        if (!signal.aborted) await source.close().catch(() => {});
      }
    } catch (error) {
      if (signal.aborted) return;
      if (first) throw error;
      trouble(messageOf(error));
    }
    if (!signal.aborted) await clock.sleep(againMs, signal).catch(() => {});
  }
}

/** Fields of a control message; empty for other messages. */
function commandIn(payload: Uint8Array): { command: string; payload: string } {
  const none = { command: '', payload: '' };
  try {
    const text = Buffer.from(payload).toString('utf8').replace(/\0+$/, '');
    const { command, payload: what } = (JSON.parse(text) ?? {}) as Record<string, unknown>;
    return {
      command: typeof command === 'string' ? command : '',
      payload: typeof what === 'string' ? what : '',
    };
  } catch {
    return none;
  }
}
