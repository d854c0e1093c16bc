import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { describeReal, dockerfileCheck } from '../support/real.js';

interface Checked {
  findings: { rule: string; detail: string; line: number }[];
  image: { User: string; Entrypoint: string[]; Cmd: string[]; ExposedPorts: Record<string, unknown> };
  sent: string[];
}

function check(folder: string): Checked {
  const { status, stdout, stderr } = spawnSync(dockerfileCheck, [folder], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as Checked;
}

describeReal('dockerfile', 'the Dockerfile in BuildKit’s checks', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-dockerfile-check-'));
    await cp(join(root, '.dockerignore'), join(dir, '.dockerignore'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('passes docker build --check and defines the expected image', () => {
    const { findings, image } = check(root);
    expect(findings).toEqual([]);
    expect(image).toMatchObject({
      User: '65532:65532',
      Entrypoint: ['/nodejs/bin/node', '/app/bin/run.js'],
      Cmd: ['--help'],
      ExposedPorts: { '8443/tcp': {}, '8883/tcp': {} },
    });
  });

  it.each([
    ['USER 65532:65532', 'USR 65532:65532', 'error'],
    ['CMD ["--help"]', 'CMD up', 'JSONArgsRecommended'],
    ['ARG RUN=', 'ARG RUNS=', 'UndefinedArgInFrom'],
    ['AS install', 'as install', 'FromAsCasing'],
    ['LABEL ', 'MAINTAINER me\nLABEL ', 'MaintainerDeprecated'],
  ])('fails the checks after the mistake %j → %j', async (right, wrong, rule) => {
    const text = await readFile(join(root, 'Dockerfile'), 'utf8');
    expect(text).toContain(right);
    await writeFile(join(dir, 'Dockerfile'), text.replace(right, wrong));
    expect(check(dir).findings.map((each) => each.rule)).toContain(rule);
  });

  it('sends all files that are compiled and packed, but no tests, documents or build results', () => {
    const { sent } = check(root);
    const tracked = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).stdout.trim().split('\n');
    const needed = tracked.filter((file) => !/^(test|bench|docs)\/(?!reference\/protocol\.md$)/.test(file));
    expect(needed.length).toBeGreaterThan(1000);
    expect(needed.filter((file) => !sent.includes(file))).toEqual([]);
    expect(
      sent.filter((file) =>
        /^(\.git|\.venv|node_modules|dist|test|docs(?!\/reference\/protocol\.md$))\//.test(file),
      ),
    ).toEqual([]);
  });

  describe.runIf(process.env.AIOT_LONG)('a build without a container engine', () => {
    it('compiles, packs, installs and runs as an unprivileged user', { timeout: 900_000 }, () => {
      const { status, stdout } = spawnSync(process.execPath, [join(root, 'scripts/dockerfile/run.js')], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      expect([status, stdout]).toEqual([0, 'aiot up ran as 65532:65532 and exited with 0\n']);
    });
  });
});
