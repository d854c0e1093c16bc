import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { activateDevice } from '../../src/lib/provision/claim.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { readQr } from '../support/qr.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'a claim in a browser', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own?.stop());

  it('is shown once as a QR code with which the device gets its certificate', async () => {
    const { client, folder } = own.platform;
    const { page, context, troubles } = await own.open('#/devices');
    page.setDefaultTimeout(20_000);
    await page.getByRole('link', { name: 'Add a device' }).click();
    await page.getByLabel('Name of the device').fill('gate way');
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Create a claim' }).press('Enter');
    await page.getByRole('alert').getByText('AIOT_REQUEST_INVALID').waitFor();
    await page.getByLabel('Name of the device').fill('gateway');
    await page.getByLabel('Valid for').selectOption('1h');
    await page.getByText('aiot device claim gateway --type pi --expires 1h --out claim.json').waitFor();
    await page.getByRole('button', { name: 'Create a claim' }).press('Enter');
    const code = page.getByRole('img', { name: 'QR code of the claim of gateway' });
    await code.waitFor();
    await expectAccessible(page);
    const { default: sharp } = await import('sharp');
    const { data, info } = await sharp(await code.screenshot())
      .grayscale()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const text = readQr({ width: info.width, height: info.height, pixels: data }) ?? '';
    const claim = JSON.parse(text);
    expect(claim).toMatchObject({ spec: 'aiot-claim/1', name: 'gateway', type: 'pi' });
    expect(claim.expires - Date.now()).toBeGreaterThan(3_500_000);
    expect(claim.expires - Date.now()).toBeLessThanOrEqual(3_600_000);
    await page.screenshot({ path: shot('claim'), fullPage: true });

    // Neither the address, nor the text, nor the browser's storage contains the token.
    const stored =
      'JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, history.state])';
    expect(await page.evaluate(`${stored} + document.body.innerHTML`)).not.toContain(claim.token);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save the claim' }).click();
    expect(await readFile(await (await download).path(), 'utf8')).toBe(text);
    await page.emulateMedia({ media: 'print' });
    expect(await code.isVisible()).toBe(true);
    expect(await page.getByText('aiot device activate ./gateway --claim claim.json').isVisible()).toBe(true);
    expect(await page.getByRole('navigation', { name: 'Pages' }).isVisible()).toBe(false);
    expect(await page.getByRole('button', { name: 'Print' }).isVisible()).toBe(false);
    const address = page.getByText(own.platform.platform.urls.http, { exact: true });
    expect((await address.boundingBox())?.height).toBeLessThan(60);
    await page.screenshot({ path: shot('claim-print') });
    await page.emulateMedia({ media: 'screen' });

    await page.getByText('waiting for it to connect').waitFor();
    const file = join(folder, 'scanned.json');
    await writeFile(file, text);
    const activated = await activateDevice({ dir: join(folder, 'gateway'), claim: file });
    expect(activated).toMatchObject({ name: 'gateway', type: 'pi', claimed: true });
    await page.getByText('has claimed its certificate').waitFor();
    await page.reload();
    await page.getByLabel('Name of the device').waitFor();
    expect(await code.count()).toBe(0);
    expect((await client.devices.get('gateway')).fingerprint).not.toBeNull();
    expect(troubles.filter((trouble) => !trouble.includes('status of 400'))).toEqual([]);
    await context.close();
  });

  it('fits a phone, and is not offered to viewers', async () => {
    const { page, context, troubles } = await own.open('#/add-device', { width: 390, dark: true });
    await page.getByLabel('Name of the device').fill('phone');
    await page.getByRole('button', { name: 'Create a claim' }).click();
    await page.getByRole('img', { name: 'QR code of the claim of phone' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    await page.screenshot({ path: shot('claim-phone'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
    const { token } = await own.platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    const viewer = await own.open('#/add-device', { token });
    await viewer.page.getByText('Only operators of the whole platform can add devices.').waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Create a claim' }).count()).toBe(0);
    await viewer.context.close();
  });

  it('can contain the address of this page, if the platform has another', async () => {
    const { origin } = new URL(own.platform.platform.urls.http);
    const { page, context, troubles } = await own.open('#/add-device');
    page.setDefaultTimeout(20_000);
    const url = 'https://10.42.0.7:8443';
    await page.route('**/claims', async (request) => {
      const response = await request.fetch();
      await request.fulfill({ response, json: { ...(await response.json()), url } });
    });
    await page.getByLabel('Name of the device').fill('pod');
    await page.getByRole('button', { name: 'Create a claim' }).click();
    const saved = async () => {
      const download = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Save the claim' }).click();
      return JSON.parse(await readFile(await (await download).path(), 'utf8'));
    };
    const hint = page.getByText('aiot up --host 0.0.0.0');
    const address = page.getByLabel('Address of the platform');
    await address.waitFor();
    expect(await hint.count()).toBe(0);
    expect(await saved()).toMatchObject({ name: 'pod', url });
    await expectAccessible(page);
    await address.selectOption(origin);
    await hint.waitFor();
    expect(await saved()).toMatchObject({ name: 'pod', url: origin });
    await expectAccessible(page);
    await page.screenshot({ path: shot('claim-address'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('is not offered to operators of some devices, who can roll out settings', async () => {
    const { client } = own.platform;
    await client.devices.patch('phone', { tags: { site: 'lab' } });
    await client.users.add({ name: 'lab-op', role: 'operator', selector: 'site=lab' });
    const { token } = await client.tokens.create({ name: 'lab-op', owner: 'lab-op' });
    const { page, context, troubles } = await own.open('#/devices', { token });
    page.setDefaultTimeout(20_000);
    await page.getByRole('checkbox', { name: 'Select phone', exact: true }).check();
    await page.getByRole('link', { name: 'New rollout' }).waitFor();
    await page.getByRole('link', { name: 'Roll out settings' }).waitFor();
    const offered = page.getByRole('link', { name: /^Add a/ });
    expect(await offered.count()).toBe(0);
    await page.keyboard.press('Control+k');
    await page.getByRole('option', { name: 'New rollout' }).waitFor();
    await page.getByRole('option', { name: 'Roll out settings' }).waitFor();
    expect(await page.getByRole('option', { name: /^Add a/ }).count()).toBe(0);
    await page.keyboard.press('Escape');
    for (const [hash, reason] of [
      ['#/rollouts', ''],
      ['#/rollouts/settings', 'No settings yet'],
      ['#/add-device', 'Only operators of the whole platform can add devices.'],
      ['#/add-board', 'Only operators of the whole platform can add boards.'],
    ]) {
      await page.evaluate(`location.hash = '${hash}'`);
      await (reason ? page.getByText(reason) : page.getByRole('link', { name: 'New rollout' })).waitFor();
      expect(await offered.count()).toBe(0);
    }
    // No request was rejected.
    expect(troubles).toEqual([]);
    await context.close();
  });

  const shot = (name: string) => join(process.env.SHOTS ?? own.platform.folder, `${name}.png`);
});
