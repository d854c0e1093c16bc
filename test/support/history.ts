import type { Devices } from '../../src/lib/platform/devices/devices.js';
import { History } from '../../src/lib/platform/devices/history.js';
import type { PlacedEntry } from '../../src/lib/platform/journal/telemetry.js';
import { createLog } from '../../src/lib/platform/log.js';
import type { Store } from '../../src/lib/platform/store/database.js';

interface Past {
  names: readonly string[];
  /** Times at which the platform counts, ascending, ms since 1970. */
  times: readonly number[];
  isOnline(name: string, at: number): boolean;
  /** Predictions of a device since the time before. */
  predictions?(
    name: string,
    at: number,
  ): readonly { label: string | null; latencyMs: number; model?: string }[];
}

/** Fills the history of a platform that is stopped, as if it had run. */
export async function fillHistory(
  store: Store,
  { names, times, isOnline, predictions }: Past,
): Promise<void> {
  let now = 0;
  let entries: PlacedEntry[] = [];
  const devices = {
    visit: async (look: (device: object) => void) =>
      names.forEach((name) => void look({ name, state: 'active', lastSeen: 1 })),
    online: (name: string) => isOnline(name, now),
    lastSeenOf: () => 1,
  } as unknown as Devices;
  const reader = {
    end: async () => '',
    async *from(_: string | null, __: AbortSignal, idle?: (isIdle: boolean) => void) {
      for (let i = 0; i < entries.length; i += 1000) yield entries.slice(i, i + 1000);
      entries = [];
      idle?.(true);
    },
  };
  // A platform that ran has counted its messages. It reads them again afterwards, so its counts are removed.
  await store.deleteFrom('history').execute();
  const log = await createLog();
  const history = new History({ store, devices, telemetry: { reader }, log, now: () => now });
  const { signal } = new AbortController();
  for (now of times) {
    entries = names.flatMap((device) =>
      (predictions?.(device, now) ?? []).map(({ label, latencyMs, model = 'watch' }) => ({
        position: '0',
        entry: {
          ...{ at: now, device, channel: 'inference' as const },
          payload: {
            ...{ seq: 0, t: now, model: { name: model, version: 1 }, window: 0, label, voted: label },
            ...{ scores: [1], latencyMs },
          },
        },
      })),
    );
    await history.cycle(signal, true);
  }
  // The platform reads its own messages from the beginning.
  await store.deleteFrom('meta').where('key', '=', 'history:position').execute();
}
