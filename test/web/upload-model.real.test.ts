import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { packSigned } from '../../src/lib/model/bundle/signed-bundle.js';
import { manifestOf, signModel } from '../../src/lib/model/publish/push.js';
import { tinyBundle } from '../support/bundle.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'uploads of models in a browser', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own?.stop());

  const shot = (name: string) => join(process.env.SHOTS ?? own.platform.folder, `${name}.png`);
  const content = (name: string, seed = 0) => packBundle(unpackBundle(tinyBundle(name, seed)));
  const envelope = async (name: string, key = own.platform.key) => {
    const next = await own.platform.client.models.next(name);
    const options = { name, ...next, issued: 1_790_000_000_000, expires: null, deviceTypes: ['esp32', 'pi'] };
    return signManifest({ ...manifestOf(content(name), options), floor: 1 }, key);
  };
  const file = (name: string, data: Uint8Array | string) => ({
    ...{ name, mimeType: 'application/octet-stream', buffer: Buffer.from(data) },
  });

  it('show the signers and the release, and publish a signed bundle', async () => {
    const { client } = own.platform;
    const { page, context, troubles } = await own.open('#/models');
    page.setDefaultTimeout(20_000);
    await page.getByRole('link', { name: 'Upload a model' }).click();
    const input = page.getByLabel('Model files');
    await expectAccessible(page);
    const signed = packSigned(content('gate'), await envelope('gate'));
    await input.setInputFiles([file('gate.aiot', signed)]);
    await page.getByText('1 of 1 required').waitFor();
    const facts = await page.locator('.facts').textContent();
    for (const part of ['gate@1', 'esp32, pi', 'resting, walking', 'release numbers below 1', 'never'])
      expect(facts).toContain(part);
    await expectAccessible(page);
    await page.screenshot({ path: shot('upload-signed'), fullPage: true });
    expect(await client.models.list()).toEqual([]);
    await page.getByRole('button', { name: 'Publish gate@1' }).press('Enter');
    await page.getByText('is published, in stage dev.').waitFor();
    expect(await client.models.get('gate', 1)).toMatchObject({ trusted: true, stage: 'dev' });
    // The same file again.
    await input.setInputFiles([]);
    await input.setInputFiles([file('gate.aiot', signed)]);
    await page.getByText('This release is already').waitFor();
    expect(await page.getByRole('button', { name: /Publish|Store/ }).count()).toBe(0);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('store unsigned files until they are signed, and show the command for it', async () => {
    const { client, key } = own.platform;
    const { page, context, troubles } = await own.open('#/upload-model', { width: 390, dark: true });
    page.setDefaultTimeout(20_000);
    const input = page.getByLabel('Model files');
    const network = unpackBundle(tinyBundle('bare')).model;
    const stranger = packSigned(content('odd'), await envelope('odd', generateKeyPair().privatePem));
    await input.setInputFiles([
      file('my net.tflite', network),
      file('odd.aiot', stranger),
      file('notes.aiot', 'no model'),
    ]);
    await page.getByText('AIOT_BUNDLE_MALFORMED').waitFor();
    await page.getByText('AIOT_SIGNATURE_INVALID').waitFor();
    await page.getByText('not valid, or an unknown key').waitFor();
    expect(await page.getByLabel('Name of the model').inputValue()).toBe('my-net');
    await page.getByLabel('Name of the model').fill('no!');
    await page.getByLabel('Name of the model').press('Tab');
    await page.getByText('AIOT_REQUEST_INVALID').waitFor();
    await page.getByLabel('Name of the model').fill('doorbell');
    await page.getByLabel('Name of the model').press('Tab');
    await page.getByRole('button', { name: 'Store as doorbell@1, to be signed' }).click();
    await page.getByText('aiot model sign doorbell@1').waitFor();
    await page.getByRole('button', { name: 'Store as odd@1, to be signed' }).click();
    await page.getByText('aiot model sign odd@1').waitFor();
    expect(await client.models.get('doorbell', 1)).toMatchObject({
      ...{ trusted: false, origin: { file: 'my net.tflite', source: 'dashboard' } },
    });
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    await page.screenshot({ path: shot('upload-unsigned'), fullPage: true });
    await page.getByRole('link', { name: 'odd@1' }).click();
    await page.getByText('This version is not signed by a trusted key.').waitFor();
    await signModel({ client, model: { name: 'odd', version: 1 }, privatePem: key });
    await page.getByRole('button', { name: 'Promote to staging' }).waitFor();
    expect(troubles.filter((trouble) => !trouble.includes('status of 400'))).toEqual([]);
    await context.close();
  });

  it('combine a bundle with its manifest file, and report a lost connection', async () => {
    const { client } = own.platform;
    const { page, context } = await own.open('#/upload-model');
    page.setDefaultTimeout(20_000);
    const manifest = file('pair.manifest.json', JSON.stringify(await envelope('pair')));
    const input = page.getByLabel('Model files');
    await input.setInputFiles([manifest]);
    await page.getByText('Choose the .aiot file together with its manifest.').waitFor();
    await page.getByText('not uploaded').waitFor();
    await page.route('**/blobs/*', (request) => request.abort());
    await input.setInputFiles([file('pair.aiot', content('pair')), manifest]);
    await expect.poll(() => page.getByText('AIOT_PLATFORM_UNREACHABLE').count()).toBe(2);
    await page.unroute('**/blobs/*');
    await input.setInputFiles([]);
    await input.setInputFiles([file('pair.aiot', content('pair')), manifest]);
    await page.getByRole('button', { name: 'Publish pair@1' }).click();
    await page.getByText('is published, in stage dev.').waitFor();
    expect(await page.getByRole('button', { name: /Store/ }).count()).toBe(0);
    expect(await client.models.get('pair', 1)).toMatchObject({ trusted: true });
    await context.close();
  });

  it('add signatures to a version that waits, and keep a bundle whose manifest cannot be published', async () => {
    const { client } = own.platform;
    const { page, context } = await own.open('#/upload-model');
    page.setDefaultTimeout(20_000);
    const input = page.getByLabel('Model files');
    await input.setInputFiles([file('latch.aiot', content('latch'))]);
    await page.getByRole('button', { name: 'Store as latch@1, to be signed' }).click();
    await page.getByText('aiot model sign latch@1').waitFor();
    const { sequence } = await client.models.next('latch');
    const options = { name: 'latch', version: 1, sequence, issued: 1, expires: null, deviceTypes: ['pi'] };
    const signed = signManifest(manifestOf(content('latch'), options), own.platform.key);
    await input.setInputFiles([file('signed.aiot', packSigned(content('latch'), signed))]);
    await page.getByRole('button', { name: 'Add the signatures to latch@1' }).click();
    await page.getByText('is published, in stage dev.').waitFor();
    expect(await client.models.get('latch', 1)).toMatchObject({ trusted: true });
    const stranger = await envelope('bolt', generateKeyPair().privatePem);
    await input.setInputFiles([
      file('bolt.aiot', content('bolt')),
      file('bolt.manifest.json', JSON.stringify(stranger)),
    ]);
    await page.getByText('AIOT_SIGNATURE_INVALID').waitFor();
    await page.getByRole('button', { name: 'Store as bolt@1, to be signed' }).waitFor();
    await context.close();
  });

  it('ask for a name, never store under an earlier one, and stop when other files are chosen', async () => {
    const { client } = own.platform;
    const { page, context } = await own.open('#/upload-model');
    page.setDefaultTimeout(20_000);
    const input = page.getByLabel('Model files');
    const network = unpackBundle(tinyBundle('nameless')).model;
    await input.setInputFiles([file('nameless.aiot', network)]);
    await page.getByRole('button', { name: 'Store as nameless@1, to be signed' }).waitFor();
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route('**/model-files/*name=named*', async (request) => {
      await held;
      await request.continue();
    });
    await page.getByLabel('Name of the model').fill('named');
    // The click changes the name first, as the field loses the focus.
    const box = await page.getByRole('button', { name: /Store/ }).boundingBox();
    await page.mouse.click((box?.x ?? 0) + 20, (box?.y ?? 0) + 10);
    await page.getByText('Checking …').waitFor();
    expect(await page.getByRole('button', { name: /Store/ }).count()).toBe(0);
    answer();
    await page.getByRole('button', { name: 'Store as named@1, to be signed' }).waitFor();
    const names = (await client.models.list()).map(({ name }) => name);
    expect(names).not.toContain('nameless');
    await page.route('**/blobs/*', () => {});
    await input.setInputFiles([file('slow.aiot', content('slow'))]);
    await page.getByText('Uploading slow.aiot …').waitFor();
    await input.setInputFiles(Array.from({ length: 11 }, (_, index) => file(`${index}.aiot`, 'x')));
    await page.getByText('11 files are too many at once').waitFor();
    expect(await page.getByText(/^(Uploading|Checking)/).count()).toBe(0);
    await context.close();
  });

  it('are not offered to viewers', async () => {
    const { token } = await own.platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    const { page, context } = await own.open('#/upload-model', { token });
    await page.getByText('Your token does not permit uploads').waitFor();
    expect(await page.getByLabel('Model files').count()).toBe(0);
    await page.goto(page.url().replace(/#.*/, '#/models'));
    await page.getByRole('heading', { name: 'Models', exact: true }).waitFor();
    expect(await page.getByRole('link', { name: 'Upload a model' }).count()).toBe(0);
    await context.close();
  });
});
