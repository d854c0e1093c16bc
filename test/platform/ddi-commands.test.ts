import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceSecretSchema } from '../../src/lib/api/contract/devices.js';
import { pushedFirmwareSchema } from '../../src/lib/api/firmware/push.js';
import { rolloutSchema } from '../../src/lib/api/rollouts/schema.js';
import { readBytes } from '../../src/lib/core/files.js';
import { runCli } from '../support/cli.js';
import { anyBundle, clientOf } from '../support/ddi.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests({ ddiPollMs: 30_000 });
});
afterAll(() => own.stop());

describe('aiot with a hawkBit client', () => {
  it('registers it, pushes its bundle, rolls it out and sees it committed', async () => {
    const claim = join(own.folder, 'claim.json');
    expect((await runCli(['device', 'claim', 'pump', '--type', 'swupdate', '--out', claim])).code).toBe(0);
    const { secret } = await ok(deviceSecretSchema, ['device', 'secret', 'pump']);
    const image = join(own.folder, 'pump.swu');
    await writeFile(image, anyBundle());
    const pushed = await ok(pushedFirmwareSchema, ['firmware', 'push', image, '--name', 'pump']);
    expect(pushed).toMatchObject({ bundle: 'swu', chip: null, deviceTypes: ['swupdate'] });
    expect((await runCli(['firmware', 'show', 'pump@1'])).stdout).toContain('an SWUpdate bundle');
    const started = await ok(rolloutSchema, [
      ...['rollout', 'start', '--firmware', 'pump@1', '--selector', 'type=swupdate'],
    ]);
    const ca = (await readBytes(own.ca)).toString('utf8');
    const platform = { platform: { urls: { http: own.url } }, ca, token: '' };
    const device = clientOf(platform as never, 'pump', secret ?? '');
    expect((await device.poll()).config).toEqual({ polling: { sleep: '00:00:30' } });
    const id = await device.offered();
    await device.say(`/deploymentBase/${id}/feedback`, 'closed', 'success');
    const status = await ok(rolloutSchema, ['rollout', 'show', started.id]);
    expect(status).toMatchObject({ state: 'done', waves: [{ devices: 1, committed: 1 }] });
  });

  it('rejects polling intervals that are too short or too long', async () => {
    expect((await refusal(['up', '--ddi-poll', '0s'])).code).toBe('AIOT_USAGE');
    expect((await refusal(['up', '--ddi-poll', '2d'])).code).toBe('AIOT_USAGE');
  });
});
