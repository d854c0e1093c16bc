import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ToldRun, ToldStep } from '../../src/lib/api/contract/jobs.js';
import { type Dashboard, type DashboardPage, dashboard, expectAccessible } from '../support/dashboard.js';
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

async function shot(page: DashboardPage['page'], name: string): Promise<void> {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
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
    await shot(page, 'run');
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

  it('start a run on a connected runner, follow its lines, and cancel it', async () => {
    const { client } = own.platform;
    const { page, context, troubles } = await own.open('#/pipelines');
    await page.getByText('No runner is connected, so pipelines cannot be started here.').waitFor();
    await page.getByRole('button', { name: 'aiot pipeline runner' }).waitFor();
    await expectAccessible(page);
    await shot(page, 'no-runner');
    const id = `runner_${'0'.repeat(26)}`;
    const steps = ['extract', 'train'].map((name) => ({
      name,
      about: `does ${name}`,
      needs: [],
      gate: null,
    }));
    await client.pipelineRunners.put(id, { name: 'lab-1', project: 'watch', aiot: '0.1.0', steps });
    // By keyboard alone.
    await page.getByRole('button', { name: 'Run watch on lab-1' }).focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Run watch' });
    await dialog.getByLabel('Last step').selectOption('train');
    await dialog.getByLabel('Run unchanged steps too').check();
    await expectAccessible(page);
    await shot(page, 'run-dialog');
    await dialog.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByRole('heading', { name: 'Requested run' }).waitFor();
    await page.getByText('No output yet').waitFor();
    const { request } = await client.pipelineRunners.claim(id);
    expect(request).toMatchObject({ until: 'train', force: true, wanted: 'lab-1' });
    const asked = request?.id ?? '';
    const report = { runner: id, run, from: 0, lines: ['extract: running', 'train: epoch 3 of 20'] };
    await client.runs.tell('watch', run, told());
    await client.pipelineRequests.progress(asked, report);
    await page.getByText('train: epoch 3 of 20').waitFor();
    await client.pipelineRequests.progress(asked, { ...report, from: 2, lines: ['train: epoch 4 of 20'] });
    await page.getByText('train: epoch 4 of 20').waitFor();
    await page.getByRole('link', { name: 'extract cached' }).waitFor();
    await expectAccessible(page);
    await shot(page, 'request');
    await page.getByRole('button', { name: 'Cancel the run' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel the run' }).click();
    await page.getByText('canceling').waitFor();
    const error = { code: 'AIOT_INTERRUPTED', message: 'the run was canceled' };
    await client.pipelineRequests.end(asked, { ...report, state: 'cancelled', error });
    await page.getByText('the run was canceled').waitFor();
    expect(await page.getByRole('button', { name: 'Cancel the run' }).count()).toBe(0);
    await page.getByRole('link', { name: 'watch', exact: true }).click();
    await page.getByRole('table', { name: 'Requested runs' }).getByText('canceled').waitFor();
    await page.getByRole('table', { name: 'Runners' }).getByText('idle').waitFor();
    await expectAccessible(page);
    await shot(page, 'runner');
    expect(troubles).toEqual([]);
    await context.close();
    // Without the right to run, there is no button; a phone shows the same page.
    const { token } = await client.tokens.create({
      name: 'reports',
      role: 'ci',
      scopes: ['pipelines:write'],
    });
    for (const hash of ['#/pipelines', '#/pipelines/watch', `#/pipelines/watch/${asked}`]) {
      const phone = await own.open(hash, { token, width: 390, dark: true });
      await phone.page
        .getByText(hash.includes(asked) ? 'epoch 4 of 20' : 'lab-1')
        .first()
        .waitFor();
      expect(await phone.page.getByRole('button', { name: /^(Run|Cancel)/ }).count()).toBe(0);
      expect(
        await phone.page.evaluate('document.documentElement.scrollWidth - innerWidth'),
      ).toBeLessThanOrEqual(0);
      await expectAccessible(phone.page);
      await shot(phone.page, `phone-${hash.length}`);
      await phone.context.close();
    }
    await client.pipelineRunners.remove(id);
  });
});
