import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the access page', () => {
  let own: Dashboard;
  let ada = '';
  beforeAll(async () => {
    own = await dashboard();
    const { client } = own.platform;
    await client.users.add({ name: 'ada', role: 'viewer' });
    ada = (await client.tokens.create({ name: 'laptop', owner: 'ada' })).token;
  });
  afterAll(() => own?.stop());

  it('lists logins and ends one, whose browser then shows the login page', async () => {
    const theirs = await own.open('#/', { token: ada });
    const { page, troubles } = await own.open('#/access');
    page.setDefaultTimeout(30_000);
    const table = page.getByRole('table', { name: 'Logins' });
    const row = table.getByRole('row').filter({ hasText: 'ada' });
    await row.getByText('dashboard').waitFor();
    await row.getByText('127.0.0.1').waitFor();
    await table.getByRole('row').filter({ hasText: 'this browser' }).waitFor();
    await expectAccessible(page);
    await row.getByRole('button', { name: /^End the login ses_/ }).click();
    const dialog = page.getByRole('dialog', { name: 'End the login of ada' });
    await dialog.getByText(/aiot session revoke ses_/).waitFor();
    await dialog.getByRole('button', { name: 'End', exact: true }).click();
    await row.waitFor({ state: 'detached' });
    await theirs.page
      .getByRole('navigation', { name: 'Pages' })
      .waitFor({ state: 'detached', timeout: 30_000 });
    await theirs.page.getByRole('heading', { name: 'aiot' }).waitFor({ timeout: 30_000 });
    expect(troubles).toEqual([]);
    await theirs.context.close();
    await page.context().close();
  });

  it('shows a viewer their own logins and tokens only', async () => {
    const { page, troubles } = await own.open('#/access', { token: ada, width: 390, dark: true });
    page.setDefaultTimeout(30_000);
    await page.getByRole('table', { name: 'Logins' }).getByText('this browser').waitFor();
    const tokens = page.getByRole('table', { name: 'Tokens' });
    await tokens.getByText('laptop').waitFor();
    expect(await tokens.getByRole('button', { name: /^Revoke the token/ }).count()).toBe(1);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('revokes a token', async () => {
    const { client } = own.platform;
    const { id } = await client.tokens.create({ name: 'old-laptop', owner: 'ada' });
    const { page, troubles } = await own.open('#/access');
    page.setDefaultTimeout(30_000);
    await page.getByRole('button', { name: `Revoke the token ${id}` }).click();
    const dialog = page.getByRole('dialog', { name: 'Revoke the token old-laptop' });
    await dialog.getByRole('button', { name: 'Revoke', exact: true }).click();
    const row = page
      .getByRole('table', { name: 'Tokens' })
      .getByRole('row')
      .filter({ hasText: 'old-laptop' });
    await row.getByText('revoked').waitFor();
    expect((await client.tokens.get(id)).state).toBe('revoked');
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  const shot = (name: string) => join(process.env.SHOTS ?? own.platform.folder, name);

  it('adds a user with their first token, whose secret is shown once and opens the dashboard', async () => {
    const { client } = own.platform;
    const { page, troubles, context } = await own.open('#/access?ask=add-user');
    page.setDefaultTimeout(30_000);
    const { origin } = new URL(own.platform.platform.urls.http);
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
    const adding = page.getByRole('dialog', { name: 'Add a user' });
    await adding.getByLabel('Name').fill('ada');
    await adding.getByRole('button', { name: 'Add', exact: true }).click();
    await adding.getByRole('alert').getByText('AIOT_ALREADY_EXISTS').waitFor();
    await adding.getByLabel('Name').fill('grace');
    await adding.getByLabel('Role').selectOption('ci');
    await adding.getByLabel('Devices').fill('site=');
    await adding.getByRole('button', { name: 'Add', exact: true }).click();
    await adding.getByRole('alert').getByText('AIOT_SELECTOR_INVALID').waitFor();
    await adding.getByLabel('Devices').fill('site=hall-3');
    await adding.getByText('aiot user add grace --role ci --selector site=hall-3').waitFor();
    await expectAccessible(page);
    await adding.getByRole('button', { name: 'Add', exact: true }).click();

    const creating = page.getByRole('dialog', { name: 'Token for grace' });
    await creating.getByLabel('Name').fill('desk');
    await creating.getByLabel('Role').selectOption('operator');
    await creating.getByRole('button', { name: 'Create', exact: true }).click();
    const alert = creating.getByRole('alert');
    await alert.getByText('grace has the role ci, which is lower than operator').waitFor();
    await alert.getByText('AIOT_NOT_ALLOWED').waitFor();
    await alert.getByText('Use --role ci, or name a user with a higher role.').waitFor();
    await creating.getByLabel('Role').selectOption('ci');
    await creating.getByLabel('Scopes').fill('models:push devices:read');
    await creating.getByLabel('Valid for').selectOption('7');
    await creating
      .getByText(
        'aiot token create desk --user grace --role ci --scope models:push --scope devices:read --expires 7d',
      )
      .waitFor();
    await expectAccessible(page);
    await creating.getByRole('button', { name: 'Create', exact: true }).click();

    const made = page.getByRole('dialog', { name: 'The token desk' });
    const secret = await made.getByLabel('Secret').inputValue();
    expect(secret).toMatch(/^aiot_[\w-]{43}$/);
    await made.getByRole('button', { name: 'Copy', exact: true }).click();
    await made.getByText('Copied.').waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(secret);
    for (let i = 0; i < 2; i++) await page.keyboard.press('Escape');
    await made.getByText('models:push devices:read').waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: shot('token-1280.png') });
    await made.getByRole('button', { name: 'Close' }).click();
    await made.waitFor({ state: 'detached' });
    expect(await page.content()).not.toContain(secret);
    const token = (await client.tokens.list()).find(({ owner }) => owner === 'grace');
    expect(token).toMatchObject({ name: 'desk', role: 'ci', selector: 'site=hall-3', state: 'valid' });
    expect((token?.expires ?? 0) - (token?.created ?? 0)).toBe(7 * 86_400_000);
    const theirs = await own.open('#/', { token: secret });
    await theirs.context.close();

    const row = page.getByRole('table', { name: 'Users' }).getByRole('row').filter({ hasText: 'grace' });
    await row.getByText('site=hall-3').waitFor();
    await page.reload();
    await row.locator('time').waitFor();
    await page.screenshot({ path: shot('users-1280.png'), fullPage: true });
    expect(troubles.filter((each) => !/status of 4(00|03|09)/.test(each))).toEqual([]);
    await context.close();
  });

  it('disables, enables and removes a user after a confirmation that says what ends', async () => {
    const { client } = own.platform;
    await client.users.add({ name: 'bob', role: 'viewer' });
    const bob = (await client.tokens.create({ name: 'phone', owner: 'bob' })).token;
    const theirs = await own.open('#/', { token: bob });
    const { page, troubles } = await own.open('#/access', { width: 390, dark: true });
    page.setDefaultTimeout(30_000);
    await page.getByRole('button', { name: 'Disable the user bob' }).click();
    const disabling = page.getByRole('dialog', { name: 'Disable bob' });
    await disabling.getByText('The user has 1 valid token and 1 login.').waitFor();
    await disabling.getByText('aiot user disable bob').waitFor();
    await expectAccessible(page);
    await disabling.getByRole('button', { name: 'Cancel' }).click();
    expect((await client.users.list()).find(({ name }) => name === 'bob')?.disabled).toBeNull();
    await page.getByRole('button', { name: 'Disable the user bob' }).click();
    await disabling.getByRole('button', { name: 'Disable', exact: true }).click();
    const row = page.getByRole('table', { name: 'Users' }).getByRole('row').filter({ hasText: 'bob' });
    await row.getByText('disabled').waitFor();
    await theirs.page.getByRole('heading', { name: 'aiot' }).waitFor({ timeout: 30_000 });
    await theirs.context.close();
    await page.getByRole('button', { name: 'Enable the user bob' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Enable', exact: true }).click();
    await page.getByRole('button', { name: 'Disable the user bob' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await page.screenshot({ path: shot('users-390.png'), fullPage: true });

    // Another operator is faster.
    await page.getByRole('button', { name: 'Remove the user bob' }).click();
    const removing = page.getByRole('dialog', { name: 'Remove bob' });
    await removing.getByText('Events and the audit log keep the name.').waitFor();
    await client.users.remove('bob');
    await removing.getByRole('button', { name: 'Remove', exact: true }).click();
    await removing.getByRole('alert').getByText('AIOT_NOT_FOUND').waitFor();
    await removing.getByText('aiot user list').waitFor();
    await removing.getByRole('button', { name: 'Cancel' }).click();
    await client.users.add({ name: 'bob', role: 'viewer' });
    await page.getByRole('button', { name: 'Remove the user bob' }).click();
    await removing.getByRole('button', { name: 'Remove', exact: true }).click();
    await row.waitFor({ state: 'detached' });
    expect((await client.users.list()).map(({ name }) => name)).not.toContain('bob');
    expect(troubles.filter((each) => !each.includes('status of 404'))).toEqual([]);
    await page.context().close();
  });

  it("changes a user's role and devices, and their open browser loses the rights at once", async () => {
    const { client } = own.platform;
    await client.users.add({ name: 'carl', role: 'operator' });
    const carl = (await client.tokens.create({ name: 'desk', owner: 'carl', role: 'operator' })).token;
    const theirs = await own.open('#/access', { token: carl });
    await theirs.page.getByRole('table', { name: 'Users' }).waitFor({ timeout: 30_000 });
    const { page, troubles } = await own.open('#/access', { width: 390, dark: true });
    page.setDefaultTimeout(30_000);
    await page.getByRole('button', { name: 'Change the user carl' }).click();
    const dialog = page.getByRole('dialog', { name: 'Change carl' });
    await dialog.getByLabel('Role').selectOption('ci');
    await dialog.getByLabel('Devices').fill('fw=1');
    await dialog.getByRole('button', { name: 'Change', exact: true }).click();
    await dialog.getByRole('alert').getByText('AIOT_SELECTOR_INVALID').waitFor();
    await dialog.getByLabel('Devices').fill('site=hall-3');
    await dialog.getByText('aiot user update carl --role ci --selector site=hall-3').waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Change', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(await client.users.get('carl')).toMatchObject({ role: 'ci', selector: 'site=hall-3' });
    await theirs.page.reload();
    await theirs.page.getByRole('table', { name: 'Tokens' }).waitFor({ timeout: 30_000 });
    expect(await theirs.page.getByRole('heading', { name: 'Users' }).count()).toBe(0);
    await theirs.context.close();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);

    await page.getByRole('button', { name: 'Change the user carl' }).click();
    await dialog.getByLabel('Devices').fill('');
    await dialog.getByText('aiot user update carl --selector all').waitFor();
    await dialog.getByRole('button', { name: 'Change', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(await client.users.get('carl')).toMatchObject({ role: 'ci', selector: null });
    await client.users.remove('carl');
    expect(troubles.filter((each) => !each.includes('status of 400'))).toEqual([]);
    await page.context().close();
  });

  it('rotates a token, and shows the new secret once', async () => {
    const { client } = own.platform;
    const before = await client.tokens.create({ name: 'runner', owner: 'ada' });
    const { page, troubles } = await own.open('#/access', { width: 390 });
    page.setDefaultTimeout(30_000);
    await page.getByRole('button', { name: `Rotate the token ${before.id}` }).click();
    const dialog = page.getByRole('dialog', { name: 'Rotate the token runner' });
    await dialog.getByLabel('The old secret stays valid for').selectOption('1h');
    await dialog.getByText(`aiot token rotate ${before.id} --grace 1h`).waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Rotate', exact: true }).click();
    const made = page.getByRole('dialog', { name: 'The token runner' });
    const secret = await made.getByLabel('Secret').inputValue();
    expect(secret).not.toBe(before.token);
    await made.getByText('valid until').first().waitFor();
    // Without the permission to copy, the page says how to copy.
    await page.evaluate('navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed"))');
    await made.getByRole('button', { name: 'Copy', exact: true }).click();
    await made.getByText('press Ctrl-C').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await made.getByRole('button', { name: 'Close' }).click();
    const old = await client.tokens.get(before.id);
    expect(old.expires - Date.now()).toBeLessThanOrEqual(3_600_000);
    expect((await client.tokens.list()).filter(({ name }) => name === 'runner').length).toBe(2);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('keeps the login while the token behind it is rotated', async () => {
    const { page, troubles } = await own.open('#/access', { token: ada });
    page.setDefaultTimeout(30_000);
    const [laptop] = (await own.platform.client.tokens.list()).filter(({ name }) => name === 'laptop');
    await page.getByRole('button', { name: `Rotate the token ${laptop?.id}` }).click();
    const dialog = page.getByRole('dialog', { name: 'Rotate the token laptop' });
    await dialog.getByText("This browser's login uses this token.").waitFor();
    expect(await dialog.getByRole('option').allTextContents()).toEqual(['1 hour', '24 hours', '7 days']);
    await dialog.getByRole('button', { name: 'Rotate', exact: true }).click();
    await page.getByRole('dialog', { name: 'The token laptop' }).getByLabel('Secret').waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('table', { name: 'Logins' }).getByText('this browser').waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('hides the users from sessions without the right, and keeps their tokens within it', async () => {
    const { client } = own.platform;
    const limited = await client.tokens.create({ name: 'hall', role: 'operator', selector: 'site=hall-3' });
    const reader = await client.tokens.create({ name: 'reader', role: 'operator', scopes: ['users:read'] });
    for (const [token, role] of [
      [ada, 'viewer'],
      [limited.token, 'operator'],
    ] as const) {
      const { page, troubles } = await own.open('#/access?ask=add-user', { token });
      page.setDefaultTimeout(30_000);
      await page.getByRole('table', { name: 'Tokens' }).waitFor();
      expect(await page.getByRole('heading', { name: 'Users' }).count()).toBe(0);
      expect(await page.getByRole('dialog').count()).toBe(0);
      await page.getByRole('button', { name: 'New token' }).click();
      const roles = page.getByRole('dialog', { name: 'New token' }).getByLabel('Role').getByRole('option');
      expect((await roles.allTextContents()).at(-1)).toContain(role);
      expect(troubles).toEqual([]);
      await page.context().close();
    }
    const { page, troubles } = await own.open('#/access', { token: reader.token });
    await page.getByRole('table', { name: 'Users' }).getByText('ada').waitFor();
    expect(await page.getByRole('button', { name: /the user / }).count()).toBe(0);
    expect(await page.getByRole('button', { name: 'Add a user' }).count()).toBe(0);
    await page.context().close();
    // Only requests for live events may be rejected: the token has no scope for them.
    expect(troubles.filter((each) => !/live|403/.test(each))).toEqual([]);
  });

  it('ends the own login', async () => {
    const { page } = await own.open('#/access');
    page.setDefaultTimeout(30_000);
    const row = page.getByRole('row').filter({ hasText: 'this browser' });
    await row.getByRole('button', { name: /^End the login/ }).click();
    await page.getByRole('dialog').getByText('You must log in again.').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'End', exact: true }).click();
    await page.getByRole('navigation', { name: 'Pages' }).waitFor({ state: 'detached' });
    await page.context().close();
  });
});
