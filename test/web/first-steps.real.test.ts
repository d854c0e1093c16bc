import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { push } from '../support/push.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the suggested commands', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own?.stop());

  /** Opens the page, and waits for its suggested commands. */
  const expectCommands = async (hash: string, commands: string[]) => {
    const { page, troubles, context } = await own.open(hash);
    page.setDefaultTimeout(15_000);
    for (const command of commands) await page.getByText(command, { exact: true }).waitFor();
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  };
  const provision = 'aiot device provision bench-1 --type virtual --out bench-1';

  it('name what the first steps create on an empty platform', async () => {
    await expectCommands('#/', [provision]);
    await expectCommands('#/datasets', [provision, 'aiot device simulate bench-1 --motor healthy --for 20s']);
    await expectCommands('#/rollouts', ['aiot model deploy watch@1 --selector all']);
    await expectCommands('#/crashes', ['aiot device call bench-1 crash']);
  });

  it('name an existing device and the newest model', async () => {
    const devices = [{ name: 'pump-7', digest: '7'.repeat(64) }];
    await own.platform.client.devices.simulate({ type: 'virtual', devices });
    await expectCommands('#/', ['aiot device simulate pump-7 --motor healthy --for 20s']);
    await expectCommands('#/datasets', ['aiot device simulate pump-7 --motor healthy --for 20s']);
    await expectCommands('#/crashes', ['aiot device call pump-7 crash']);
    await push(own.platform, 1);
    await push(own.platform, 2);
    await expectCommands('#/rollouts', ['aiot model deploy motion@2 --selector all']);
  });
});
