import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard } from '../support/dashboard.js';
import { interactionsOn } from '../support/interactions.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the dashboard with 10,000 devices', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
    for (let i = 0; i < 10; i++) {
      const devices = Array.from({ length: 1000 }, (_, j) => {
        const number = String(i * 1000 + j).padStart(4, '0');
        return { name: `press-${number}`, digest: number.padStart(64, '0') };
      });
      await own.platform.client.devices.simulate({ type: 'virtual', devices });
    }
  });
  afterAll(() => own?.stop());

  it('responds to each interaction within 100 ms of CPU time', async () => {
    const { page, context, troubles } = await own.open('#/');
    page.setDefaultTimeout(30_000);
    await page.getByRole('heading', { level: 1 }).waitFor();
    const found = await interactionsOn(page, 'press-4711');
    if (process.env.FIGURES) process.stdout.write(`${JSON.stringify(found)}\n`);
    expect(found.map(({ name }) => name)).toHaveLength(16);
    expect(found.filter(({ taskCpuMs }) => taskCpuMs > 100)).toEqual([]);
    expect(troubles).toEqual([]);
    await context.close();
  });
});
