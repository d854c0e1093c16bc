import type { Logger } from 'pino';
import type { Entry } from '../journal/entry.js';
import type { JournalReader } from '../journal/reader.js';

type Listener = (entry: Entry) => void;

export interface LiveHub {
  /** Calls with each message of the device that becomes durable from now on; what is returned ends it. */
  listen(device: string, listener: Listener): () => void;
  /** Resolves when what becomes durable from now on is heard. */
  ready(): Promise<void>;
  close(): void;
}

/** What devices say, for those who look on. The journal is read once for all of them, whichever replica took a message in. */
export function liveHub(reader: JournalReader, log: Logger): LiveHub {
  const listeners = new Map<string, Set<Listener>>();
  let reading: AbortController | undefined;
  let begun: Promise<string> | undefined;

  async function read(signal: AbortSignal): Promise<void> {
    begun = reader.end();
    for await (const batch of reader.from(await begun, signal)) {
      for (const { entry } of batch)
        for (const listener of listeners.get(entry.device) ?? []) listener(entry);
    }
  }

  function begin(): void {
    const controller = new AbortController();
    reading = controller;
    read(controller.signal)
      .catch(
        (err: unknown) => controller.signal.aborted || log.warn({ err }, 'messages could not be read on'),
      )
      .finally(() => {
        if (reading !== controller) return;
        reading = undefined;
        // After a fault it begins anew, where somebody still looks.
        if (!controller.signal.aborted && listeners.size > 0)
          setTimeout(() => reading ?? begin(), 1000).unref();
      });
  }

  return {
    listen(device, listener) {
      const those = listeners.get(device) ?? new Set();
      listeners.set(device, those.add(listener));
      if (reading === undefined) begin();
      return () => {
        those.delete(listener);
        if (those.size === 0 && listeners.get(device) === those) listeners.delete(device);
        if (listeners.size > 0) return;
        reading?.abort();
        reading = undefined;
      };
    },
    async ready() {
      await begun;
    },
    close() {
      listeners.clear();
      reading?.abort();
    },
  };
}
