import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'waiting devices on the overview page', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own?.stop());

  it('appear with their problems, and can be approved and rejected', async () => {
    const { client, platform, ca } = own.platform;
    const { key } = await client.batches.create({
      name: 'july',
      type: 'virtual',
      serials: ['A1'],
      groups: ['new'],
    });
    const anybody = createClient({ url: platform.urls.http, ca });
    const csr = () => certificateRequest(generateKeyPair().privatePem, 'any');
    const { page, troubles, context } = await own.open('#/');
    page.setDefaultTimeout(20_000);
    await page.getByRole('heading', { name: 'Platform', exact: true }).waitFor();
    expect(await page.getByRole('heading', { name: 'Waiting devices' }).count()).toBe(0);

    const mine = await csr();
    for (const serial of ['B1', 'B2'])
      await anybody.enrollments.enroll({ key, csr: serial === 'B1' ? mine : await csr(), serial });
    await expect(anybody.enrollments.enroll({ key, csr: await csr(), serial: 'B2' })).rejects.toMatchObject({
      code: 'AIOT_ENROLLMENT_REFUSED',
    });
    const table = page.getByRole('table', { name: 'Waiting devices' });
    await table.getByRole('row').filter({ hasText: 'july-B1' }).waitFor();
    // The contradiction is an event, so the page shows it without being reloaded.
    const liar = table.getByRole('row').filter({ hasText: 'july-B2' });
    await liar.getByText('another key asked for its serial number').waitFor();
    const attention = page.getByRole('list', { name: 'Needs attention' }).getByRole('listitem');
    const entry = attention.filter({ hasText: '2 devices are waiting for approval; the first asked ' });
    await entry.getByText('july-B2: it waits for approval, but another key').waitFor();
    expect(await entry.getByText('july-B1').count()).toBe(0);
    expect(await attention.filter({ hasText: 'approval' }).count()).toBe(1);
    await expectAccessible(page);
    await page.setViewportSize({ width: 390, height: 860 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await page.setViewportSize({ width: 1280, height: 860 });

    await page.getByRole('button', { name: 'Approve july-B1' }).click();
    await table.getByRole('row').filter({ hasText: 'july-B1' }).waitFor({ state: 'detached' });
    expect(await client.devices.get('july-B1')).toMatchObject({ state: 'registered', groups: ['new'] });
    expect(await anybody.enrollments.enroll({ key, csr: mine, serial: 'B1' })).toMatchObject({
      state: 'issued',
    });
    await page.getByRole('button', { name: 'Reject july-B2' }).click();
    await page.getByRole('heading', { name: 'Waiting devices' }).waitFor({ state: 'detached' });
    await entry.waitFor({ state: 'detached' });
    expect((await client.batches.get('july')).devices).toMatchObject({ issued: 1, rejected: 1, waiting: 0 });
    expect(troubles).toEqual([]);
    await context.close();
    await anybody.close();
  });
});
