import { expect, it, vi } from 'vitest';
import { liveTable } from '../../src/lib/cli/live/pipeline-run.js';
import { stepProgress } from '../../src/lib/cli/live/steps.js';
import { newId } from '../../src/lib/core/names.js';
import { newRunRecord, newStepRecord, type StepState } from '../../src/lib/pipeline/run/record.js';
import { terminalOnStderr } from '../support/screen.js';

const step = (name: string, state: StepState, more: object = {}) => ({
  ...newStepRecord(name),
  state,
  ...more,
});

/** Long enough to load listr2, which happens for the first list. */
const loading = 20_000;

/** Returns the terminal's screen while these steps run, and at the end, when the list is cleared or kept. */
async function drawn(keep: boolean) {
  const clock = vi.spyOn(Date, 'now').mockReturnValue(1000);
  const terminal = terminalOnStderr({ columns: 60 });
  const progress = stepProgress({ keep });
  try {
    const table = liveTable(progress);
    const record = newRunRecord(
      'p',
      { now: () => 0, sleep: async () => {} },
      {
        run: newId('run', 0),
        asked: { until: null, force: false },
        steps: [
          step('extract', 'done', { seconds: 1.25 }),
          step('drift', 'done', { cached: true, reason: 'the same data as before' }),
          step('train', 'running', { started: 900, attempts: 1 }),
          step('push', 'waiting'),
        ],
      },
    );
    table.changed(record);
    table.said('train', '{"epoch":3,"epochs":40}');
    await vi.waitFor(() => expect(terminal.lines()).toHaveLength(4), loading);
    const once = terminal.lines();
    progress.end();
    return { once, end: terminal.lines() };
  } finally {
    progress.end();
    terminal.restore();
    clock.mockRestore();
  }
}

it('the live table draws a line for each step, with the output of running steps', async () => {
  const { once } = await drawn(true);
  expect(once).toEqual([
    '✓ extract  done (1.3 s)',
    '✓ drift    cached: the same data as before',
    '⠋ train    100 ms  epoch 3 of 40',
    '○ push     waiting',
  ]);
});

it('the live table clears its lines if the result replaces them, and keeps them otherwise', async () => {
  expect((await drawn(false)).end).toEqual([]);
  expect((await drawn(true)).end).toHaveLength(4);
});
