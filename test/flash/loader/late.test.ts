import { describe, expect, it } from 'vitest';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import type { LoaderOptions } from '../../../src/lib/flash/loader/types.js';
import type { SerialLine } from '../../../src/lib/flash/port/line.js';
import type { SimulatedChip, SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { flashBoard } from '../../../src/lib/flash/write/flash-board.js';
import type { SimulatedTime } from '../../support/simulated-time.js';
import { defaults, noise, timedChip } from './board.js';

interface Late {
  /** Delay of each response; responses are sent one after another. */
  everyMs: number;
  /** Additional delay of the response to this request and of all later ones. */
  stalls: Readonly<Record<number, number>>;
}

/** A line without DTR and RTS that delays responses but keeps their order, like an emulator on a busy machine. */
function lateLine(
  chip: SimulatedChip,
  time: SimulatedTime,
  { everyMs, stalls }: Late,
): { line: SerialLine; requests: () => number } {
  const line = simulatedLine(chip);
  let free = 0;
  let requests = 0;
  let queue: Promise<void> = Promise.resolve();
  const later = new Proxy(line, {
    get(target, key) {
      if (key === 'hasControlLines') return false;
      if (key === 'write') {
        return (bytes: Uint8Array) => {
          free = Math.max(free, time.now()) + (stalls[requests++] ?? 0);
          return target.write(bytes);
        };
      }
      if (key === 'listen') {
        return (listener: Parameters<SerialLine['listen']>[0]) =>
          target.listen({
            ...listener,
            data: (bytes) => {
              free = Math.max(free, time.now()) + everyMs;
              const at = free;
              const copy = bytes.slice();
              queue = queue.then(async () => {
                const ms = at - time.now();
                if (ms > 0) await time.sleep(ms);
                listener.data(copy);
              });
            },
          });
      }
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { line: later, requests: () => requests };
}

const mac = '24:0a:c4:12:34:56';
const app = { name: 'app', offset: 0x10000, data: noise(2500) };

/**
 * Connects and writes. Afterward, the loader's findings must be correct, or it must have failed with an error code.
 */
async function work(chip: SimulatedChipOptions, options: Partial<LoaderOptions>, late: Late) {
  const { chip: board, time } = timedChip({ ...chip, mac, flashBytes: 1 << 20 });
  const { line, requests } = lateLine(board, time, late);
  const stopTime = time.start();
  try {
    const loader = await openLoader(line, { ...defaults, ...options, clock: time });
    expect(loader.chip).toMatchObject({
      chip: chip.chip,
      mac,
      flash: { bytes: 1 << 20 },
      security: { secureBoot: false, flashEncryption: false, secureDownload: false },
    });
    try {
      expect(await loader.write([app], { skipEqual: false })).toMatchObject([{ skipped: false }]);
      expect(board.flash.bytes.subarray(app.offset, app.offset + app.data.length)).toEqual(app.data);
    } finally {
      await loader.end();
    }
    return { requests: requests(), failed: null };
  } catch (error) {
    if (typeof (error as { code?: unknown }).code !== 'string') throw error;
    return { requests: requests(), failed: error as Error };
  } finally {
    board.powerOff();
    stopTime();
  }
}

const ways = [
  { chip: 'esp32', stub: true },
  { chip: 'esp32c3', stub: false },
] as const;
const long = process.env.AIOT_LONG === '1';
const stallsMs = long ? [500, 1300, 2500, 4000] : [1300, 4000];
const everyMs = long ? 44 : 3;
/** Step between the requests that are tested. */
const step = long ? 1 : 5;

describe('late responses', () => {
  it.concurrent.each(ways)(
    'are tolerated at a delay of 44 ms each ($chip, stub: $stub)',
    async ({ chip, stub }) => {
      const late = { everyMs: 44, stalls: { 3: 1300, 9: 1300, 14: 1300, 20: 2500 } };
      expect(await work({ chip }, { stub }, late)).toMatchObject({ failed: null });
    },
  );

  it.concurrent.each(ways)(
    'keep the check of an existing image under two seconds at 44 ms each ($chip, stub: $stub)',
    async ({ chip, stub }) => {
      const { chip: board, time } = timedChip({ chip, mac });
      const image = { place: 0x10000, name: 'app.bin', data: noise(1 << 18) };
      board.flash.bytes.set(image.data, image.place);
      const { line } = lateLine(board, time, { everyMs: 44, stalls: {} });
      const stopTime = time.start();
      const began = time.now();
      try {
        const { regions } = await flashBoard(
          () => ({
            ...{ pieces: [image], old: [], header: {}, erase: false, verify: true, force: false },
            device: null,
          }),
          {
            ...{ port: 'late', loader: { ...defaults, stub } },
            open: (_, options) => openLoader(line, { ...options, clock: time }),
          },
        );
        expect(regions).toMatchObject([{ skipped: true, written: 0 }]);
        expect(time.now() - began).toBeLessThan(2000);
      } finally {
        board.powerOff();
        stopTime();
      }
    },
  );

  const cases = ways.flatMap((way) => stallsMs.map((ms) => ({ ...way, ms })));
  it.concurrent.each(cases)(
    'are never mistaken for others when delayed by $ms ms at any request ($chip, stub: $stub)',
    async ({ chip, stub, ms }) => {
      const { requests } = await work({ chip }, { stub }, { everyMs, stalls: {} });
      const results: { failed: Error | null }[] = [];
      const one = async (at: number) => {
        results.push(await work({ chip }, { stub }, { everyMs, stalls: { [at]: ms } }));
      };
      const places = Array.from({ length: Math.ceil(requests / step) }, (_, i) => i * step);
      for (let i = 0; i < places.length; i += 30) await Promise.all(places.slice(i, i + 30).map(one));
      // Delays are the only fault, so every operation that can wait must succeed.
      expect(results.filter(({ failed }) => failed !== null)).toEqual([]);
    },
    300_000,
  );
});
