import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { unitText } from '../../../src/lib/stream/route/bridge.js';
import { describeReal } from '../../support/real.js';

describeReal('systemd', 'the systemd unit of a bridge', () => {
  it('is accepted by systemd without warnings, whatever is in its command line', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-unit-'));
    const service = 'aiot-b1.service';
    const unit = unitText({
      description: 'x',
      command: [process.execPath, 'a b', '%', '$x', '"'],
      scope: 'user',
      environment: { A: 'b c' },
      folder,
    });
    await writeFile(join(folder, service), unit);
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--user', join(folder, service)], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    await rm(folder, { recursive: true, force: true });
    expect(stderr).not.toMatch(new RegExp(`${service}:\\d+`));
  });
});
