import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { restoreBackup } from '../../src/lib/platform/backup/restore.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

const passphrase = 'correct horse battery';

describeReal('chromium', 'backups in a browser', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own?.stop());

  it('are saved complete, and listed; an interrupted one is not saved', async () => {
    const { page, context, troubles } = await own.open('#/access', { width: 390 });
    page.setDefaultTimeout(20_000);
    await page.getByRole('link', { name: 'Backup' }).click();
    await page.getByText('No backup has been made yet.').waitFor();
    const first = page.getByLabel('Passphrase', { exact: true });
    const again = page.getByLabel('Repeat the passphrase');
    const start = page.getByRole('button', { name: 'Back up', exact: true });
    await first.fill(passphrase);
    await again.fill('correct horse');
    await page.getByText('The passphrases differ.').waitFor();
    expect(await start.isDisabled()).toBe(true);
    await again.fill(passphrase);
    await page.route('**/backups', (request) => request.abort());
    await start.press('Enter');
    await page.getByRole('alert').getByText('AIOT_PLATFORM_UNREACHABLE').waitFor();
    await page.unroute('**/backups');
    await expectAccessible(page);
    const download = page.waitForEvent('download');
    await start.press('Enter');
    const file = join(own.platform.folder, 'saved.tar');
    await (await download).saveAs(file);
    await page.getByText(/^Saved platform-.*tar \(/).waitFor();
    expect([await first.inputValue(), await again.inputValue()]).toEqual(['', '']);
    const restored = await restoreBackup({ file, passphrase, data: null, engines: {} });
    expect(restored.data).toBeNull();
    await page.getByRole('table', { name: 'Earlier backups' }).getByRole('row').nth(1).waitFor();
    await page.getByText('aiot backup restore platform.tar --check').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'backup.png'),
      fullPage: true,
    });
    expect(troubles.filter((trouble) => !trouble.includes('ERR_FAILED'))).toEqual([]);
    await context.close();
  });

  it('are not offered to viewers', async () => {
    const { token } = await own.platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    const { page, context } = await own.open('#/access/backup', { token });
    await page.getByText('Only operators of the whole platform can back it up.').waitFor();
    expect(await page.getByRole('button', { name: 'Back up', exact: true }).count()).toBe(0);
    await context.close();
  });
});
