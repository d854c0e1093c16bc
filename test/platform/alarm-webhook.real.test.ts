import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Heard, startHttp } from '../stream/outbound/servers.js';
import { root } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { runProgram } from '../support/programs.js';
import { describeReal, python } from '../support/real.js';

/** The function of the how-to page, as a reader copies it. */
const [, documented = ''] =
  /```python\n([\s\S]+?)```/.exec(readFileSync(join(root, 'docs/how-to/webhooks.md'), 'utf8')) ?? [];

/** Checks requests with the documented function and with the standardwebhooks package from PyPI; neither contains code of ours. */
const script = `
${documented}
import json, sys
from standardwebhooks.webhooks import Webhook
seen = set()
for given in json.loads(sys.argv[1]):
    body, headers = given["body"], given["headers"]
    try:
        Webhook(given["secret"]).verify(body, headers)
        other = "verified"
    except Exception as error:
        other = type(error).__name__
    print(verify(given["secret"], headers, body.encode(), seen), other)
`;

describeReal('streams', 'the webhook of an alarm', () => {
  let own: TestPlatform;
  let device: VirtualDevice;
  let receiver: Awaited<ReturnType<typeof startHttp>>;
  let secret = '';
  let id = '';

  beforeAll(async () => {
    own = await testPlatform();
    receiver = await startHttp((_, response) => response.writeHead(200).end());
    const made = await own.client.webhooks.add({ url: receiver.url, allowPrivate: true, types: ['alarm.*'] });
    [id, secret] = [made.webhook.id, made.secret];
    const identityDir = join(own.folder, 'motor-1');
    await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out: identityDir });
    device = await createVirtualDevice({ identityDir });
    await device.connect();
  });
  afterAll(async () => {
    await device?.stop();
    await receiver?.stop();
    await own?.stop();
  });

  /** The requests that reported an event of this type, with their parsed bodies. */
  const received = (type: string) =>
    receiver.heard
      .map((heard) => ({ heard, event: JSON.parse(heard.body.toString()) as { type: string; data: object } }))
      .filter(({ event }) => event.type === type);

  /** The verdicts of the documented function and of the package on requests, in order. */
  async function verdicts(requests: { secret: string; headers: object; body: string }[]): Promise<string[]> {
    const { stdout, stderr } = await runProgram(python('streams'), ['-c', script, JSON.stringify(requests)]);
    expect(stderr).toBe('');
    return stdout.trimEnd().split('\n');
  }
  const asGiven = ({ headers, body }: Heard, changes: object = {}) => ({
    ...{ secret, headers: { ...headers, ...changes }, body: body.toString() },
  });

  it('sends a signed request that independent verifiers accept once, and that cannot be changed or replayed', async () => {
    expect(documented).toContain('def verify');
    await own.client.alarms.create({ name: 'hot', where: 'temperature > 80', forMs: 2000, stream: 'motors' });
    const startedAt = Date.now() - 60_000;
    await device.replay(
      {
        ...{ id: 'shift', label: null, device: 'motor-1', rateHz: 1, fields: ['temperature'], startedAt },
        columns: [Float64Array.from({ length: 5 }, () => 90)],
      },
      { stream: 'motors', speed: 'max' },
    );
    await expect.poll(() => received('alarm.raise'), { timeout: 30_000 }).toHaveLength(1);
    const [{ heard, event }] = received('alarm.raise') as [ReturnType<typeof received>[number]];
    expect(event).toMatchObject({ subject: 'hot', data: { device: 'motor-1' } });
    const sent = asGiven(heard);
    const later = String(Number(heard.headers['webhook-timestamp']) + 1);
    expect(
      await verdicts([
        sent,
        sent,
        { ...sent, body: sent.body.replace('motor-1', 'motor-2') },
        { ...sent, secret: 'whsec_b3RoZXI=' },
        asGiven(heard, { 'webhook-id': 'another' }),
        asGiven(heard, { 'webhook-timestamp': later }),
      ]),
    ).toEqual([
      'accepted verified',
      // The package leaves repeated ids to its user.
      'repeated verified',
      ...Array(4).fill('forged WebhookVerificationError'),
    ]);
  });

  it('is rejected as expired more than five minutes after it was sent', async () => {
    const [{ heard }] = received('alarm.raise') as [ReturnType<typeof received>[number]];
    const old = String(Math.floor(Date.now() / 1000) - 301);
    const sign = `
import base64, hashlib, hmac, sys
secret, signed = sys.argv[1:]
key = base64.b64decode(secret.removeprefix("whsec_"))
print("v1," + base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).decode())
`;
    const signed = `${heard.headers['webhook-id']}.${old}.${heard.body.toString()}`;
    const { stdout } = await runProgram(python('streams'), ['-c', sign, secret, signed]);
    const request = asGiven(heard, { 'webhook-timestamp': old, 'webhook-signature': stdout.trim() });
    expect(await verdicts([request])).toEqual(['expired WebhookVerificationError']);
  });

  it('is accepted with the old secret and the new one after a rotation', async () => {
    const { secret: fresh } = await own.client.webhooks.rotate(id);
    await own.client.alarms.acknowledge('hot', {});
    await expect.poll(() => received('alarm.acknowledge'), { timeout: 30_000 }).toHaveLength(1);
    const [{ heard }] = received('alarm.acknowledge') as [ReturnType<typeof received>[number]];
    expect(await verdicts([asGiven(heard)])).toEqual(['accepted verified']);
    expect(await verdicts([{ ...asGiven(heard), secret: fresh }])).toEqual(['accepted verified']);
  });
});
