import { Agent, request } from 'undici';
import { afterEach, expect, it } from 'vitest';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

let own: TestPlatform;
let mosquitto: Mosquitto | undefined;
afterEach(async () => {
  await own.stop();
  await mosquitto?.stop();
  mosquitto = undefined;
});

async function ready(): Promise<{ code: number; status: string; checks: Record<string, string | null> }> {
  const dispatcher = new Agent({ connect: { ca: own.ca } });
  const { statusCode, body } = await request(`${own.platform.urls.http}/readyz`, {
    ...{ dispatcher, headers: { authorization: `Bearer ${own.token}` } },
  });
  const told = (await body.json()) as { status: string; checks: Record<string, string | null> };
  await dispatcher.destroy();
  return { code: statusCode, ...told };
}

describeReal('mosquitto', '/readyz with an external broker', () => {
  it('reports not ready while the broker is down, and ready once it is back', async () => {
    mosquitto = await startMosquitto();
    own = await testPlatform({ engines: { broker: `mqtt://127.0.0.1:${mosquitto.port}` } });
    expect(await ready()).toMatchObject({ code: 200, status: 'ready' });
    await mosquitto.end();
    await expect.poll(ready).toMatchObject({
      code: 503,
      status: 'not ready',
      checks: { broker: expect.stringContaining(' is unreachable: ') },
    });
    await mosquitto.start();
    await expect.poll(ready, { timeout: 20_000 }).toMatchObject({ code: 200, checks: { broker: null } });
  }, 60_000);
});
