import type { ReadStream } from 'node:tty';
import { type KeyAction, KeyReader } from './keys.js';

export interface Typed {
  /** What is to be sent on. */
  bytes: AsyncIterable<Uint8Array>;
  /** Gives the terminal back; the bytes end. */
  close(): void;
}

/** What is typed at a terminal, key by key, until it is closed. What is meant for the program goes to `onAction`. */
export function typedKeys(terminal: ReadStream, eol: string, onAction: (action: KeyAction) => void): Typed {
  const reader = new KeyReader(eol);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(
    undefined,
    undefined,
    new CountQueuingStrategy({ highWaterMark: 1024 }),
  );
  const writer = writable.getWriter();
  const take = (bytes: Uint8Array) => {
    const { send, actions } = reader.read(bytes);
    if (send.length > 0) writer.write(send).catch(() => undefined);
    for (const action of actions) onAction(action);
  };
  terminal.setRawMode(true);
  terminal.on('data', take);
  terminal.resume();
  return {
    bytes: readable,
    close: () => {
      terminal.off('data', take);
      terminal.setRawMode(false);
      terminal.pause();
      terminal.unref();
      writer.close().catch(() => undefined);
    },
  };
}
