import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runAgent } from '../../src/lib/device/remote/agent.js';
import { remoteShell } from '../../src/lib/device/remote/operate.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the page of remote sessions', () => {
  let own: Dashboard;
  const ending = new AbortController();
  const running: Promise<unknown>[] = [];
  beforeAll(async () => {
    own = await dashboard();
    const { client, folder } = own.platform;
    await provisionDevice({ client, name: 'pi-1', type: 'pi', out: join(folder, 'pi-1') });
    await mkdir(join(folder, 'shared'));
    const connected = new Promise<void>((resolve) => {
      const agent = runAgent({
        identityDir: join(folder, 'pi-1'),
        allow: ['shell'],
        onEvent: ({ event }) => event === 'connected' && resolve(),
        signal: ending.signal,
      });
      running.push(agent.catch(() => {}));
    });
    await connected;
  });
  afterAll(async () => {
    ending.abort();
    await Promise.all(running);
    await own?.stop();
  });

  /** Opens a shell; the result is the error that ended it. */
  function openShell() {
    const stdout = new PassThrough();
    stdout.resume();
    return remoteShell({
      ...{ client: own.platform.client, device: 'pi-1', forMs: 60_000, signal: ending.signal },
      ...{ stdin: new PassThrough(), stdout, stderr: new PassThrough(), collect: false },
    }).then(
      () => null,
      (error: Error) => error,
    );
  }

  const shot = (name: string) => join(process.env.SHOTS ?? own.platform.folder, `${name}.png`);

  it('shows who opened which session, ends it by keyboard, and lists its end from the audit log', async () => {
    const { client } = own.platform;
    const { page, context, troubles } = await own.open('#/devices');
    page.setDefaultTimeout(20_000);
    await page.getByRole('link', { name: 'Remote sessions' }).click();
    await page.getByRole('heading', { name: 'No open sessions' }).waitFor();
    await page.getByText('No session has ended yet.').waitFor();
    const ended = openShell();
    running.push(ended);
    const open = page.getByRole('table', { name: 'Open remote sessions' });
    await open.getByRole('link', { name: 'pi-1' }).waitFor();
    const [session] = await client.remoteSessions.list();
    expect(session).toMatchObject({ kind: 'shell', device: 'pi-1' });
    await open.getByText(session?.who ?? '', { exact: true }).waitFor();
    await open.getByRole('cell', { name: 'shell', exact: true }).waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: shot('remote'), fullPage: true });
    // Cancel returns the focus to the button.
    const end = open.getByRole('button', { name: 'End the shell on pi-1' });
    await end.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'End the shell on pi-1?' }).waitFor();
    await page.keyboard.press('Escape');
    await expect
      .poll(() => page.evaluate('document.activeElement.textContent'))
      .toBe('End the shell on pi-1');
    expect(await client.remoteSessions.list()).toHaveLength(1);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'End the session' }).press('Enter');
    expect((await ended)?.message).toContain('closed by');
    await page.getByRole('heading', { name: 'No open sessions' }).waitFor();
    const past = page.getByRole('table', { name: 'Ended remote sessions' });
    await past.getByText(/^closed by /).waitFor();
    await past.getByText(/^shell/).waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: shot('remote-ended'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('names replicas that do not respond', async () => {
    const { page, context, troubles } = await own.open('#/devices');
    page.setDefaultTimeout(20_000);
    await page.route('**/api/v1/remote-sessions*', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), missing: ['replica_1'] } });
    });
    await page.getByRole('link', { name: 'Remote sessions' }).click();
    const notice = page.getByText('The sessions of these replicas are missing, because they do not respond:');
    await notice.waitFor();
    expect(await notice.textContent()).toContain('replica_1');
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('fits a phone in dark mode, and lets viewers end nothing', async () => {
    const { token } = await own.platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    running.push(openShell());
    const { page, context, troubles } = await own.open('#/remote', { token, width: 390, dark: true });
    page.setDefaultTimeout(20_000);
    await page
      .getByRole('table', { name: 'Open remote sessions' })
      .getByRole('link', { name: 'pi-1' })
      .waitFor();
    await page
      .getByRole('table', { name: 'Ended remote sessions' })
      .getByText(/^shell/)
      .waitFor();
    expect(await page.getByRole('button', { name: /^End the/ }).count()).toBe(0);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await page.screenshot({ path: shot('remote-390'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });
});
