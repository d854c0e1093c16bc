/** Hostile text in languages that templates.test.ts does not cover: cloud-init, Markdown, and systemd units as systemd reads them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { platformUnit } from '../../src/lib/core/systemd.js';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { devicesFor, loopUnit } from '../../src/lib/loop/operate/install.js';
import { unitText } from '../../src/lib/stream/route/bridge.js';
import { hostileLines as lines } from '../support/hostile-texts.js';
import { cloudInitSchema, describeReal } from '../support/real.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'aiot-languages-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const keys = ['ssh-ed25519 AAAA', 'ssh-ed25519 AAAA'];
/** Renders for cloud-init; returns null if the values are rejected. */
async function cloudInit(name: string, given: object): Promise<Record<string, string> | null> {
  const out = join(dir, name);
  const values = join(dir, `${name}.yaml`);
  writeFileSync(values, stringify({ hosts: ['plant.example'], cloudInit: given }));
  try {
    await renderDeployment({ target: 'cloud-init', out, values });
  } catch (error) {
    expect((error as { code?: string }).code, JSON.stringify(given)).toMatch(/^AIOT_/);
    return null;
  }
  return Object.fromEntries(readdirSync(out).map((file) => [file, readFileSync(join(out, file), 'utf8')]));
}

describeReal('cloud-init', 'a rendered cloud-init folder', () => {
  it('contains addresses, emails and key comments as plain values, unless they are rejected', async () => {
    const usual = await cloudInit('usual', { keys, acme: { email: 'a@b.example' } });
    const shape = (text: string) =>
      text.split(/[\n\u2028]/).map((line) => line.replaceAll(/[^`]/g, '').length);
    let taken = 0;
    for (const [index, text] of [...lines, '\n```\n# x', '`x`', 'a\u2028b'].entries()) {
      const doors = [
        { keys: [`ssh-ed25519 AAAA ${text}`, 'ssh-ed25519 AAAA'], acme: { email: 'a@b.example' } },
        { keys, acme: { email: 'a@b.example' }, package: `https://x.example/${text}` },
        { keys, acme: { email: `${text}@b.example` } },
        { keys, acme: { email: 'a@b.example' }, user: text },
      ];
      for (const [door, given] of doors.entries()) {
        const made = await cloudInit(`made-${index}-${door}`, given);
        if (made === null) continue;
        taken++;
        expect(shape(made['README.md']!), text).toEqual(shape(usual!['README.md']!));
        const data = parse(made['user-data.yaml']!);
        const was = parse(usual!['user-data.yaml']!);
        expect(Object.keys(data)).toEqual(Object.keys(was));
        expect(data.runcmd.map((words: string[]) => words.length)).toEqual(
          was.runcmd.map((words: string[]) => words.length),
        );
        if (door === 0) expect(data.users[0].ssh_authorized_keys).toEqual(given.keys);
      }
    }
    expect(taken).toBeGreaterThan(lines.length);
  });

  it('passes cloud-init’s schema check with all of the hostile key comments', async () => {
    const all = lines.filter((text) => !/\p{Cc}/u.test(text)).map((text) => `ssh-ed25519 AAAA ${text}`);
    expect(await cloudInit('all', { keys: all })).not.toBeNull();
    const { status, stderr } = spawnSync(cloudInitSchema, [join(dir, 'all', 'user-data.yaml')], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, expect.anything()]);
  }, 30_000);
});

describeReal('systemd', 'systemd’s own parser', () => {
  const loop = (path: string) =>
    loopUnit({
      ...{ name: 'own', command: ['/bin/true', path], project: path, user: undefined, memory: '1G' },
      ...{ devices: devicesFor([]), reads: [path], config: { folder: path, files: ['a'] }, secrets: path },
      ...{ cpu: undefined, environment: { A: path } },
    });
  const platform = (path: string) =>
    platformUnit({
      ...{ service: 'x', command: ['/bin/true', path], user: 'aiot', data: path, config: path },
      ...{ reads: [path], secrets: path, memory: '1G', lowPorts: false },
    });
  const bridge = (path: string) =>
    unitText({
      ...{ description: 'x', command: ['/bin/true', path], scope: 'system' as const, folder: path },
      ...{ environment: { A: path }, secrets: path },
    });
  it.each([
    ['a loop', loop],
    ['the platform', platform],
    ['a bridge', bridge],
  ])(
    'sees each line of a unit even if a path ends in a backslash: %s',
    (_, write) => {
      const unit = join(dir, 'x.service');
      for (const path of ['/srv/a\\', '/srv/a\\\\', '/srv/a b \\', '/srv/a ']) {
        // A marker follows each line. systemd reports every marker except those swallowed by the previous line.
        const written = write(path)
          .split('\n')
          .filter((line) => !line.startsWith('['));
        const marked = written.flatMap((line, index) => [line, `Marker${index}=1`]);
        writeFileSync(unit, ['[Service]', ...marked, ''].join('\n'));
        const { stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
        const seen = new Set([...stderr.matchAll(/'(Marker\d+)'/g)].map(([, name]) => name));
        expect(
          written.filter((__, index) => !seen.has(`Marker${index}`)),
          path,
        ).toEqual([]);
      }
    },
    30_000,
  );
});
