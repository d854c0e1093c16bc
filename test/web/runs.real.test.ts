import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, type DashboardPage, dashboard, expectAccessible } from '../support/dashboard.js';
import { publishedRun, trainingRunId } from '../support/published-run.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'training run pages', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own.stop());

  const runs = ({ page }: DashboardPage) =>
    page.getByRole('table', { name: 'Runs of watch' }).getByRole('link').allTextContents();
  const short = (...numbers: number[]) => numbers.map((i) => trainingRunId(i).slice(0, 15));
  const query = ({ page }: DashboardPage) =>
    Object.fromEntries(new URLSearchParams(new URL(page.url()).hash.split('?')[1] ?? ''));
  const shoot = async ({ page }: DashboardPage, name: string) => {
    if (process.env.SHOTS)
      await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
  };

  it('show runs as they are published, in a table and a plot, and each run with its settings', async () => {
    const { client } = own.platform;
    const open = await own.open('#/runs');
    const { page, context, troubles } = open;
    await page.getByRole('heading', { name: 'No training runs yet' }).waitFor();
    await client.trainingRuns.publish('watch', [publishedRun(1)]);
    await page.getByRole('link', { name: 'watch' }).click();
    await page.getByRole('table', { name: 'Runs of watch' }).waitFor();
    // One run cannot be compared.
    await page.getByText('aiot model runs list').waitFor();
    await client.trainingRuns.publish(
      'watch',
      [2, 3, 4, 5].map((i) => publishedRun(i)),
    );
    await page.getByText('aiot model runs compare').waitFor();
    await expect.poll(() => page.locator('.coordinates .run').count()).toBe(5);
    // A failed run is listed, but not plotted, and a leak disqualifies the run with the highest accuracy.
    await client.trainingRuns.publish('watch', [
      publishedRun(6, {
        metrics: {},
        state: 'failed',
        error: { code: 'AIOT_TRAINING_DIVERGED', message: 'the loss is NaN' },
      }),
      publishedRun(7, { leaks: ['window 3 is in both parts'] }),
    ]);
    await page.getByRole('heading', { name: '7 runs' }).waitFor();
    expect(await runs(open)).toEqual(short(7, 6, 5, 4, 3, 2, 1));
    expect(await page.locator('.coordinates .run').count()).toBe(6);
    expect(await page.locator('.coordinates .run.best').count()).toBe(1);
    expect(await page.getByRole('row', { name: 'best' }).getByRole('link').textContent()).toBe(short(5)[0]);
    expect(await page.locator('.coordinates .name title').allTextContents()).toEqual([
      ...['layers', 'epochs', 'floatBytes', 'valAccuracy'],
    ]);
    await expectAccessible(page);
    await shoot(open, 'runs-1280');

    await page.locator('.coordinates .best .hit').dispatchEvent('click');
    await page.getByRole('heading', { name: short(5)[0]! }).waitFor();
    await page.getByRole('row', { name: 'valAccuracy 0.9050 0.8500–0.9500' }).waitFor();
    await page.getByRole('row', { name: 'model.layers 40' }).waitFor();
    await expectAccessible(page);
    await shoot(open, 'run-1280');
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('sort and filter in the address, and plot only the runs that match', async () => {
    const open = await own.open('#/runs/watch?sort=valaccuracy&filter=mlp');
    const { page, context, troubles } = open;
    await page.getByRole('table', { name: 'Runs of watch' }).waitFor();
    expect(await runs(open)).toEqual(short(1, 2, 3, 4, 5, 7, 6));
    await page.getByRole('button', { name: 'valAccuracy' }).click();
    expect(query(open)).toEqual({ sort: '-valaccuracy', filter: 'mlp' });
    expect(await runs(open)).toEqual(short(7, 5, 4, 3, 2, 1, 6));
    await page.getByRole('searchbox', { name: 'Filter runs of watch' }).fill('mlp 16');
    await page.getByText('1 of 7').waitFor();
    expect(query(open)).toEqual({ sort: '-valaccuracy', filter: 'mlp 16' });
    expect(await runs(open)).toEqual(short(2));
    await page.reload();
    await page.getByText('1 of 7').waitFor();
    expect(await runs(open)).toEqual(short(2));
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('compare only runs on the same data, by default that of the newest run', async () => {
    const other = { name: 'motor', digest: `sha256:${'b'.repeat(64)}`, recordings: 30, samples: 120_000 };
    await own.platform.client.trainingRuns.publish(
      'watch',
      [8, 9].map((i) => publishedRun(i, { data: other, split: { by: 'device', digest: `sha256:${i}` } })),
    );
    const open = await own.open('#/runs/watch');
    const { page, context, troubles } = open;
    await page.getByText('different splits').waitFor();
    expect(await runs(open)).toEqual(short(9, 8));
    await page.getByLabel('Data').selectOption({ index: 1 });
    await page.getByRole('heading', { name: '7 runs' }).waitFor();
    expect(query(open)).toEqual({ data: '0'.repeat(12) });
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('fit a phone in dark mode', async () => {
    for (const [name, hash] of [
      ['models', '#/runs'],
      ['runs', '#/runs/watch?data=000000000000'],
      ['run', `#/runs/watch/${trainingRunId(5)}`],
    ]) {
      const open = await own.open(hash, { width: 390, dark: true });
      const { page, context, troubles } = open;
      await page.getByRole('table').first().waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
      for (const select of await page.getByRole('combobox').all()) {
        const box = await select.boundingBox();
        expect(box && box.x + box.width).toBeLessThanOrEqual(370);
      }
      await expectAccessible(page);
      await shoot(open, `${name}-390`);
      expect(troubles).toEqual([]);
      await context.close();
    }
  });
});
