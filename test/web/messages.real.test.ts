import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { freePort } from '../support/free-port.js';
import { publish, type RawMqtt } from '../support/raw-mqtt.js';
import { connectFour } from '../support/raw-mqtt5.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the live tail', () => {
  let own: Dashboard;
  let client: RawMqtt;
  beforeAll(async () => {
    const ports = { httpPort: await freePort(), mqttPort: await freePort() };
    own = await dashboard({ ...ports, plain: { port: 0 } });
    client = await connectFour(own.platform);
  });
  afterAll(async () => {
    client.socket.destroy();
    await own.stop();
  });

  /** The rows of the table, as `topic payload`. */
  const rowsOf = (page: Page) =>
    page
      .getByRole('table', { name: 'Messages' })
      .locator('tbody tr')
      .evaluateAll((rows) =>
        rows.map((row) =>
          [...row.querySelectorAll('td, th')]
            .slice(1, 3)
            .map((cell) => cell.textContent)
            .join(' '),
        ),
      );

  it('immediately shows a message published over MQTT, using a WebSocket and no EventSource', async () => {
    const { page, context, troubles } = await own.open('#/');
    // A blank page first, so that no connections of the previous page are counted.
    await page.goto('about:blank');
    const sockets: string[] = [];
    const streams: string[] = [];
    page.on('websocket', (socket) => sockets.push(socket.url()));
    page.on('request', (request) => request.resourceType() === 'eventsource' && streams.push(request.url()));
    await page.goto(`${own.platform.platform.urls.http}/#/`);
    await page.getByRole('link', { name: 'Messages' }).click();
    await page.getByText('live', { exact: true }).waitFor();
    expect(sockets).toEqual([`${own.platform.platform.urls.http.replace('https', 'wss')}/live`]);
    await page.getByRole('heading', { name: 'No messages yet' }).waitFor();
    await page.getByText("aiot stream tail 'aiot:///#'").waitFor();
    const begun = Date.now();
    client.say(publish({ topic: 'hall/press-1/temperature', payload: '{"celsius":21.5,"ok":true}' }));
    await page.getByText('{"celsius":21.5,"ok":true}').waitFor();
    expect(Date.now() - begun).toBeLessThan(10_000);
    client.say(
      publish({ topic: 'hall/press-2/state', payload: 'running', qos: 1, messageId: 1, retain: true }),
    );
    client.say(publish({ topic: 'yard/camera', payload: Buffer.from([0xff, 0xd8, 0xff, 0xe0]) }));
    await expect
      .poll(() => rowsOf(page))
      .toEqual([
        'yard/camera /9j/4A==',
        'hall/press-2/state running',
        'hall/press-1/temperature {"celsius":21.5,"ok":true}',
      ]);
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'messages.png') });

    await page.getByRole('button', { name: 'hall/press-1/temperature' }).click();
    await page.getByRole('dialog').getByText('"celsius": 21.5').waitFor();
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'message.png') });
    await page.getByRole('button', { name: 'Close' }).click();

    // A filter is part of the address; retained messages come first.
    await page.getByLabel('Topic filter').fill('hall/+/state');
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await expect.poll(() => rowsOf(page)).toEqual(['hall/press-2/state running']);
    expect(page.url()).toContain('filter=');
    await page.getByRole('button', { name: 'Pause' }).click();
    client.say(publish({ topic: 'hall/press-3/state', payload: 'while paused' }));
    await page.getByText(/, paused/).waitFor();
    await page.getByRole('button', { name: 'Resume' }).click();
    await expect
      .poll(() => rowsOf(page))
      .toEqual(['hall/press-3/state while paused', 'hall/press-2/state running']);
    await page.getByLabel('Topic filter').fill('hall/#/state');
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page.getByText('expected a topic filter such as sensors/#').waitFor();
    // All pages and filters share one connection.
    expect([sockets.length, streams]).toEqual([1, []]);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('filters by device, stream and a condition on fields, which the address contains', async () => {
    const { page, context, troubles } = await own.open('#/messages');
    page.setDefaultTimeout(20_000);
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByLabel('Device').fill('pump-1');
    await page.getByLabel('Stream').fill('motor');
    expect(await page.getByLabel('Topic filter').inputValue()).toBe('aiot/v1/pump-1/telemetry/motor');
    expect(await page.getByLabel('Topic filter').isDisabled()).toBe(true);
    await page.getByLabel('Condition').fill('temperature > 80 and $contains(state, /^on/)');
    await page.keyboard.press('Enter');
    await page.waitForURL(/where=/);
    expect(await page.getByLabel('Condition').evaluate((field) => field.matches(':focus'))).toBe(true);
    const filter = 'aiot:///aiot/v1/pump-1/telemetry/motor';
    await page
      .getByText(`aiot stream tail ${filter} --where 'temperature > 80 and $contains(state, /^on/)'`)
      .waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    const say = (topic: string, payload: string) => client.say(publish({ topic, payload }));
    const motor = 'aiot/v1/pump-1/telemetry/motor';
    say(motor, '{"temperature":90,"state":"on","n":1}');
    say(motor, '{"temperature":70,"state":"on","n":2}');
    say('aiot/v1/pump-1/telemetry/valve', '{"temperature":90,"state":"on","n":3}');
    say('aiot/v1/pump-2/telemetry/motor', '{"temperature":90,"state":"on","n":4}');
    say(motor, '{"temperature":[90,91],"state":"on","n":5}');
    say(motor, '{"temperature":95,"state":"on again","n":6}');
    await expect
      .poll(() => rowsOf(page))
      .toEqual([
        `${motor} {"temperature":95,"state":"on again","n":6}`,
        `${motor} {"temperature":90,"state":"on","n":1}`,
      ]);
    await page.getByText('1 other message did not meet the condition').waitFor();
    await page.getByText(/1 message could not be checked: .*numeric or string/i).waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'messages-filter.png') });
    // The address alone is enough, and an endless or slow condition does not block the page.
    const link = (where: string) =>
      `${own.platform.platform.urls.http}/#/messages?device=pump-1&where=${encodeURIComponent(where)}`;
    for (const [where, reason] of [
      ['($f := function($x) { $f($x + 1) }; $f(1))', '1 message could not be checked: it takes more than'],
      ['$contains(state, /(a+)+$/)', 'at most one repetition'],
      ['$contains(state, /(a|a)*b/)', 'at most one repetition'],
      ['$contains(state, /(a|ab)*c/)', 'at most one repetition'],
    ] as const) {
      // A blank page first: the previous page is also live, and would receive the message.
      await page.goto('about:blank');
      await page.goto(link(where));
      await page.getByText('live', { exact: true }).waitFor();
      say(motor, '{"temperature":95,"state":"on"}');
      await page.getByText(reason).waitFor();
      expect(await page.getByLabel('Condition').inputValue()).toBe(where);
    }
    // A result that is not a boolean is converted as on the command line.
    await page.goto('about:blank');
    await page.goto(
      link(
        `$topic = "${motor}" and $time > 0 and $qos = 0 and $retain = false and $headers = {} ? temperature`,
      ),
    );
    await page.getByText('live', { exact: true }).waitFor();
    say(motor, '{"temperature":0}');
    say(motor, '{"temperature":7}');
    await expect.poll(() => rowsOf(page)).toEqual([`${motor} {"temperature":7}`]);
    await page.getByText('1 other message did not meet the condition').waitFor();
    expect(await page.getByRole('status').filter({ hasText: 'live' }).textContent()).toBe('live');
    // A clear list while paused stays empty, except for the messages that arrive later.
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByText('0 messages, paused').waitFor();
    await page.getByText('other message').waitFor({ state: 'detached' });
    say(motor, '{"temperature":8}');
    await page.getByRole('button', { name: 'Resume' }).click();
    await expect.poll(() => rowsOf(page)).toEqual([`${motor} {"temperature":8}`]);
    // A device is one level of a topic.
    await page.getByLabel('Device').fill('pump/1');
    await page.keyboard.press('Enter');
    expect(await page.getByLabel('Device').evaluate((field) => field.matches(':invalid'))).toBe(true);
    expect(page.url()).not.toContain('pump%2F1');
    await page.goto(link('true').replace('pump-1', 'pump%2F1'));
    await page.getByText('The device or the stream contains /, + or #.').waitFor();
    await page.goto(link('temperature >'));
    await page.getByText('The condition is not valid JSONata').waitFor();
    await page.setViewportSize({ width: 390, height: 860 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'messages-filter-390.png'),
    });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('explains that the code which checks conditions could not be loaded', async () => {
    const { page, context } = await own.open('#/messages');
    await page.goto('about:blank');
    await page.route(/\/condition-[^/]*\.js$/, (request) => request.abort());
    await page.goto(`${own.platform.platform.urls.http}/#/messages`);
    await page.getByLabel('Condition').fill('temperature > 80');
    await page.keyboard.press('Enter');
    await page
      .getByText('The part of the dashboard that checks conditions could not be loaded.')
      .waitFor({ timeout: 20_000 });
    await context.close();
  });

  it('stores a bounded number of messages and bytes', async () => {
    const { page, context } = await own.open('#/messages?filter=flood');
    page.setDefaultTimeout(30_000);
    await page.getByText('live', { exact: true }).waitFor();
    // These payloads fill the page's 4 MB after 250 messages. The pauses keep the platform from leaving messages out.
    const payload = 'x'.repeat(16_000);
    for (let i = 0; i < 300; i++) {
      client.say(publish({ topic: 'flood', payload: `${i} ${payload}` }));
      if (i % 30 === 29) await setTimeout(200);
    }
    await page.getByRole('button', { name: 'flood' }).first().waitFor();
    await expect
      .poll(
        () =>
          page
            .getByRole('cell')
            .filter({ hasText: /^299 x/ })
            .count(),
        { timeout: 20_000 },
      )
      .toBe(1);
    const [, count] =
      /^live\s*latest (\d+) messages/.exec((await page.locator('.count').textContent()) ?? '') ?? [];
    expect(Number(count)).toBeLessThanOrEqual(250);
    expect(Number(count)).toBeGreaterThan(200);
    await context.close();
  });

  it('fits a phone in dark mode, with a long topic and payload', async () => {
    const { page, context } = await own.open('#/messages', { width: 390, dark: true });
    await page.getByText('live', { exact: true }).waitFor();
    const topic = `hall/${'long-'.repeat(20)}/temperature`;
    client.say(publish({ topic, payload: 'x'.repeat(2000) }));
    await page.getByRole('table', { name: 'Messages' }).getByText(topic).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'messages-390.png') });
    await context.close();
  });

  it('shows only the topics that the user’s token allows', async () => {
    const made = await own.platform.client.tokens.create({
      ...{ name: 'hall', role: 'viewer', scopes: ['stream:hall/#', 'platform:read', 'devices:read'] },
    });
    const { page, context } = await own.open('#/messages', { token: (made as { token: string }).token });
    await page.getByText('live', { exact: true }).waitFor();
    expect(await page.getByLabel('Topic filter').inputValue()).toBe('hall/#');
    client.say(
      publish({ topic: 'yard/1', payload: 'of another' }),
      publish({ topic: 'hall/1', payload: 'allowed' }),
    );
    await page.getByText('allowed', { exact: true }).waitFor();
    expect((await rowsOf(page)).filter((row) => !row.startsWith('hall/'))).toEqual([]);
    await page.getByLabel('Topic filter').fill('#');
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page.getByText('# is outside the scopes of this token').waitFor();
    await context.close();
  });

  it('shows why it was interrupted, retries with increasing delays, and continues automatically', async () => {
    const { page, context } = await own.open('#/messages?filter=hall/%23');
    await page.getByText('live', { exact: true }).waitFor();
    const { httpPort, mqttPort } = portsOf(own);
    await own.platform.platform.stop();
    await page.getByText('The platform is unreachable.').waitFor();
    await page.getByText('interrupted', { exact: true }).waitFor();
    await page.getByText(/Reconnecting in \d+ s\./).waitFor();
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'interrupted.png') });
    await own.platform.start({ httpPort, mqttPort });
    await page.getByRole('button', { name: 'Try now' }).click();
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByText('The platform is unreachable.').waitFor({ state: 'detached' });
    client = await connectFour(own.platform);
    client.say(publish({ topic: 'hall/9', payload: 'after the interruption' }));
    await page.getByText('after the interruption').waitFor();
    await context.close();
  });

  it('reports a proxy that forwards no WebSockets, and a session that has ended', async () => {
    const made = await own.platform.client.tokens.create({ name: 'brief', role: 'viewer' });
    const { token, id } = made as { token: string; id: string };
    const { page, context } = await own.open('', { token });
    await page.routeWebSocket(/\/live$/, (socket) =>
      socket.close({ code: 1011, reason: 'no WebSockets here' }),
    );
    await page.goto(`${own.platform.platform.urls.http}/#/messages`);
    await page.reload();
    await page.getByText('the WebSocket connection fails').waitFor();
    await page.getByText('interrupted', { exact: true }).waitFor();
    await context.close();
    const other = await own.open('#/messages', { token });
    await other.page.getByText('live', { exact: true }).waitFor();
    await own.platform.client.tokens.revoke(id);
    await other.page.getByText('To log in, run this command').waitFor();
    await other.context.close();
  });
});

function portsOf({ platform }: Dashboard) {
  const { http, mqtts } = platform.platform.urls;
  return { httpPort: Number(new URL(http).port), mqttPort: Number(new URL(mqtts).port) };
}
