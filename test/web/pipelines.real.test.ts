import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ToldRun, ToldStep } from '../../src/lib/api/contract/jobs.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

const run = `run_${'0'.repeat(26)}`;

function step(name: string, more: Partial<ToldStep> = {}): ToldStep {
  return {
    ...{
      name,
      about: `does ${name}`,
      needs: [],
      gate: null,
      conditional: false,
      state: 'done',
      cached: false,
    },
    ...{
      seconds: 1.5,
      attempts: 1,
      exit: 0,
      peakBytes: 9e7,
      reason: null,
      error: null,
      started: 1,
      ended: 2,
    },
    ...{ key: null, inputs: {}, outputs: {}, result: null, log: '' },
    ...more,
  };
}

const histogram = { from: 0, to: 1, base: [1, 4, 9, 4, 1], now: [0, 1, 4, 9, 5] };
const drift = {
  features: [
    { name: 'vibration', psi: 0.31, js: 0.1, ks: 0.2, drifted: true, histogram },
    { name: 'current', psi: 0.01, js: 0.01, ks: 0.02, drifted: false, histogram: null },
  ],
};

function told(more: Partial<ToldRun> = {}): ToldRun {
  return {
    ...{
      state: 'running',
      cause: { kind: 'manual', text: 'started manually' },
      who: 'somebody',
      ended: null,
    },
    ...{ started: Date.now() - 9000, seconds: 9, aiot: '0.1.0', engine: 'local', model: null },
    steps: [
      step('extract', {
        cached: true,
        outputs: { rows: { digest: `sha256:${'a'.repeat(64)}`, bytes: 120_000 } },
      }),
      step('drift', { needs: ['extract'], result: drift }),
      step('train', { needs: ['extract'], state: 'running', log: 'epoch 3 of 20\n' }),
      step('evaluate', { needs: ['train'], state: 'waiting', gate: 'accuracy', started: null }),
    ],
    ...more,
  };
}

describeReal('chromium', 'pipeline pages', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own.stop());

  it('lead from a project to a run, its steps, their logs and the detected drift', async () => {
    const { client } = own.platform;
    const { page, context, troubles } = await own.open('#/pipelines');
    await page.getByRole('heading', { name: 'No pipeline runs yet' }).waitFor();
    await client.runs.tell('watch', run, told());
    await page.getByRole('link', { name: 'watch' }).click();
    await page.getByRole('link', { name: '00000000' }).click();
    // Initially, the running step is selected.
    await page.getByText('epoch 3 of 20').waitFor();
    await expectAccessible(page);
    await page.getByRole('row', { name: /vibration drifted 0\.310/ }).waitFor();
    await page.getByRole('link', { name: 'extract cached' }).click();
    await page.getByRole('cell', { name: '117.2 KiB' }).waitFor();
    const error = {
      code: 'AIOT_GATE_NOT_PASSED',
      message: 'accuracy 0.71 is below 0.9',
      next: 'To see its steps, run `aiot pipeline status`.',
    };
    const failed = told().steps.map((one) =>
      one.name === 'evaluate' ? { ...one, state: 'stopped', error } : one,
    );
    await client.runs.tell('watch', run, told({ state: 'stopped', ended: Date.now(), steps: failed }));
    await page.getByText('stopped by a gate').waitFor();
    await page.getByRole('link', { name: 'evaluate stopped' }).click();
    await page.getByText('accuracy 0.71 is below 0.9').waitFor();
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/run.png`, fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('fit a phone in dark mode', async () => {
    for (const hash of ['#/pipelines', '#/pipelines/watch', `#/pipelines/watch/${run}`]) {
      const { page, context, troubles } = await own.open(hash, { width: 390, dark: true });
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.getByText('stopped by a gate').waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
      await expectAccessible(page);
      expect(troubles).toEqual([]);
      await context.close();
    }
  });
});
