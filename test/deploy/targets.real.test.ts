import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import type { TargetName } from '../../src/lib/deploy/targets.js';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-targets-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describeReal('openssl', 'aiot deploy render', () => {
  it('writes no secrets, because secrets.sh creates them outside the rendered files', async () => {
    const targets: TargetName[] = ['k3s', 'compose'];
    for (const target of targets) {
      const out = join(dir, target);
      await renderDeployment({ target, out, project: join(root, 'templates/har-imu') });
      const env = { ...process.env, TELEGRAM_KEY: "k'ey$(id)", TELEGRAM_CHAT: '-100' };
      execFileSync('sh', ['secrets.sh'], { cwd: out, env, stdio: 'pipe' });
      const kept = await readFile(join(out, 'secrets/values.env'), 'utf8');
      const made = kept
        .trim()
        .split('\n')
        .map((line) => line.slice(line.indexOf('=') + 1))
        .filter((value) => value.length > 20);
      expect(made.length).toBeGreaterThan(4);
      expect(await readFile(join(out, 'secrets/output.env'), 'utf8')).toContain("TELEGRAM_KEY=k'ey$(id)\n");
      for (const { path } of (
        await renderDeployment({ target, out, project: join(root, 'templates/har-imu') })
      ).files) {
        const text = await readFile(join(out, path), 'utf8');
        for (const value of made) expect(text, path).not.toContain(value);
      }
      // A second run creates nothing.
      expect(execFileSync('sh', ['secrets.sh'], { cwd: out, encoding: 'utf8' })).toBe('');
      expect(await readFile(join(out, 'secrets/values.env'), 'utf8')).toBe(kept);
    }
  });
});
