import { AiotError } from '../../core/index.js';
import { openSink } from '../../stream/index.js';
import { createBackground } from './background.js';
import { reasonOf, type Stage } from './stage.js';

/** Tells somebody the newest label; one that was not told when the next one comes is not told any more. */
export interface Announcer {
  announce(label: string): void;
  /** After the newest has arrived, or 2 s. */
  close(): Promise<void>;
}

const pauseMs = { first: 1000, longest: 60_000 };

/**
 * Telegram's bot TELEGRAM_KEY to the chat TELEGRAM_CHAT; nobody where one of them is missing. TELEGRAM_API is another server of the Bot
 * API. @throws AIOT_STREAM_URL (no such key or chat)
 */
export async function openAnnouncer(
  stage: Stage,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Announcer> {
  const { TELEGRAM_KEY: token, TELEGRAM_CHAT: chat, TELEGRAM_API: base } = env;
  if (!token || !chat) return { announce: () => {}, close: async () => {} };
  const query = base ? `?base=${encodeURIComponent(base)}` : '';
  const sink = await openSink(`telegram:///${encodeURIComponent(chat)}${query}`, { token });
  const { clock } = stage;
  let newest: string | undefined;
  const work = async () => {
    for (let pause = pauseMs.first; newest !== undefined && !background.signal.aborted; ) {
      const label = newest;
      newest = undefined;
      try {
        await sink.write([{ topic: '', payload: Buffer.from(label) }]);
        pause = pauseMs.first;
      } catch (error) {
        stage.tell({ kind: 'away', what: 'Telegram', why: reasonOf(error) });
        if (!(error instanceof AiotError && error.retryable)) continue;
        newest ??= label;
        await clock.sleep(pause, background.signal).catch(() => {});
        pause = Math.min(pauseMs.longest, 2 * pause);
      }
    }
  };
  const background = createBackground(clock, work, () => newest !== undefined);
  return {
    announce(label) {
      newest = label;
      background.start();
    },
    async close() {
      await background.close();
      await sink.close();
    },
  };
}
