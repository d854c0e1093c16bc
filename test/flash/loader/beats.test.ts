import { afterEach, describe, expect, it, vi } from 'vitest';
import { boardLoader } from '../../../src/lib/cli/index.js';
import { openLoader, SimulatedChip, simulatedLine } from '../../../src/lib/flash/index.js';
import { withBeats } from '../../../src/lib/flash/loader/beats.js';
import { defaults } from './board.js';

afterEach(() => void vi.useRealTimers());

describe('work that does not tell how far it is', () => {
  it('tells every three seconds for how long it has been going on, and then no more', async () => {
    vi.useFakeTimers();
    const beats: number[] = [];
    const work = withBeats(
      (seconds) => beats.push(seconds),
      () => new Promise<string>((resolve) => setTimeout(() => resolve('erased'), 10_000)),
    );
    await vi.advanceTimersByTimeAsync(20_000);
    expect([await work, beats]).toEqual(['erased', [3, 6, 9]]);
  });

  it('stops telling when the work fails', async () => {
    vi.useFakeTimers();
    const beat = vi.fn();
    await expect(withBeats(beat, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await vi.advanceTimersByTimeAsync(9000);
    expect(beat).not.toHaveBeenCalled();
  });

  it('tells each further attempt to connect', async () => {
    const shown: string[] = [];
    const enough = new AbortController();
    const update = (state: string | { text: string }) => {
      shown.push(typeof state === 'string' ? state : state.text);
      if (shown.length === 3) enough.abort(new Error('enough'));
    };
    const flags = { ...defaults, 'no-stub': false };
    const options = boardLoader(flags, enough.signal, { update, clear() {}, end() {} });
    const line = simulatedLine(new SimulatedChip({ chip: 'esp32' }));
    const deaf = Object.assign(Object.create(line), { write: async () => {} });
    await expect(openLoader(deaf, options)).rejects.toThrow();
    expect(shown.slice(0, 3)).toEqual(['connect', 'connect, attempt 2 of 7', 'connect, attempt 3 of 7']);
  }, 60_000);
});
