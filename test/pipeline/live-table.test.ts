import { stripVTControlCharacters } from 'node:util';
import { expect, it, vi } from 'vitest';
import { liveTable } from '../../src/lib/cli/live/pipeline-run.js';
import { newId } from '../../src/lib/core/names.js';
import { newRunRecord, newStepRecord, type StepState } from '../../src/lib/pipeline/run/record.js';

const step = (name: string, state: StepState, more: object = {}) => ({
  ...newStepRecord(name),
  state,
  ...more,
});

/** What is on a terminal's screen after these steps, as it is drawn once and then given back or kept. */
async function drawn(keep: boolean) {
  vi.useFakeTimers();
  try {
    const written: string[] = [];
    const table = liveTable({ write: (text) => void written.push(text), keep, columns: () => 60 });
    const record = newRunRecord(
      'p',
      { now: () => 0, sleep: async () => {} },
      {
        run: newId('run', 0),
        asked: { until: null, force: false },
        steps: [
          step('extract', 'done', { seconds: 1.25 }),
          step('drift', 'done', { cached: true, reason: 'the same data as before' }),
          step('train', 'running', { started: Date.now(), attempts: 1 }),
          step('push', 'waiting'),
        ],
      },
    );
    table.changed(record);
    table.said('train', '{"epoch":3,"epochs":40}');
    await vi.advanceTimersByTimeAsync(100);
    const once = written.splice(0).join('');
    await table.end();
    return { once: stripVTControlCharacters(once).split('\n'), end: written.join('') };
  } finally {
    vi.useRealTimers();
  }
}

it('draws a line a step, and what those that run say', async () => {
  const { once } = await drawn(true);
  expect(once).toEqual([
    '✓ extract  done (1.3 s)',
    '✓ drift    cached: the same data as before',
    '⠋ train    100 ms  epoch 3 of 40',
    '○ push     waiting',
    '',
  ]);
});

it('gives its lines back where the result is printed in the same place, and leaves them elsewhere', async () => {
  expect((await drawn(false)).end).toBe('\u001b[4A\u001b[0J');
  expect((await drawn(true)).end).toContain('extract');
});
