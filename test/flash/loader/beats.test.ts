import { describe, expect, it } from 'vitest';
import { boardLoader } from '../../../src/lib/cli/flags/boards.js';
import { withBeats } from '../../../src/lib/flash/loader/loader.js';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { SimulatedTime } from '../../support/simulated-time.js';
import { defaults } from './board.js';

describe('work without progress information', () => {
  it('reports the elapsed time every three seconds until it ends', async () => {
    const time = new SimulatedTime();
    const beats: number[] = [];
    const erase = async () => {
      await time.sleep(10_000);
      return 'erased';
    };
    const told = await time.during(() => withBeats(time, (seconds) => beats.push(seconds), erase));
    await time.during(() => time.sleep(10_000));
    expect([told, beats]).toEqual(['erased', [3, 6, 9]]);
  });

  it('stops reporting when it fails', async () => {
    const time = new SimulatedTime();
    const beats: number[] = [];
    const fail = () => Promise.reject(new Error('no'));
    await expect(withBeats(time, (seconds) => beats.push(seconds), fail)).rejects.toThrow('no');
    await time.during(() => time.sleep(9000));
    expect(beats).toEqual([]);
  });

  it('reports each further attempt to connect', async () => {
    const shown: string[] = [];
    const enough = new AbortController();
    const update = (state: string | { text: string }) => {
      shown.push(typeof state === 'string' ? state : state.text);
      if (shown.length === 3) enough.abort(new Error('enough'));
    };
    const { trace: _, ...loader } = defaults;
    const flags = { ...loader, 'no-stub': false };
    const options = boardLoader(flags, enough.signal, { update, clear() {}, end() {} });
    const line = simulatedLine(new SimulatedChip({ chip: 'esp32' }));
    const deaf = Object.assign(Object.create(line), { write: async () => {} });
    const time = new SimulatedTime();
    const opened = time.during(() => openLoader(deaf, { ...options, clock: time }));
    await expect(opened).rejects.toThrow();
    expect(shown.slice(0, 3)).toEqual(['connect', 'connect, attempt 2 of 7', 'connect, attempt 3 of 7']);
  });
});
