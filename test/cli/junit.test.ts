import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conformityCases, gateCases } from '../../src/lib/cli/junit.js';
import { junitXml } from '../../src/lib/formats/junit.js';
import { root, runCli } from '../support/cli.js';

let folder = '';
let file = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-junit-'));
  file = join(folder, 'r.xml');
  const lines = [20, 90].map((temperature, at) =>
    JSON.stringify({ topic: 't', time: at, payload: { temperature } }),
  );
  await writeFile(join(folder, 'plant.ndjson'), `${lines.join('\n')}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const report = () => readFile(file, 'utf8');

describe('--junit', () => {
  it('writes a test case for stream tail --expect, passed or failed, without changing exit codes', async () => {
    const tail = (...flags: string[]) =>
      runCli(['stream', 'tail', `file:${join(folder, 'plant.ndjson')}`, ...flags, '--junit', file]);
    expect((await tail('--expect', 'temperature > 80')).code).toBe(0);
    expect(await report()).toContain(
      '<testcase classname="stream tail" name="temperature &gt; 80" time="0"/>',
    );
    expect((await tail('--expect', 'temperature > 100')).code).toBe(6);
    expect(await report()).toContain('tests="1" failures="1"');
    expect((await tail('--never', 'temperature > 80')).code).toBe(6);
    expect(await report()).toContain('name="temperature &gt; 80" time="0"><failure');
    await rm(file);
    expect((await tail('--expect', '(')).code).toBe(2);
    expect((await tail('--json')).json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    await expect(report()).rejects.toThrow('ENOENT');
  });

  it('writes a test case for each test in a file of routes', async () => {
    const routes = join(folder, 'routes.yaml');
    const one = (name: string, out: number) =>
      `{name: ${name}, in: {payload: {a: 1}}, out: [{payload: {a: ${out}}}]}`;
    await writeFile(
      routes,
      `routes:\n  one: {from: "file:x", to: "file:y", tests: [${one('same', 1)}, ${one('other', 2)}]}\n`,
    );
    expect((await runCli(['stream', 'route', 'test', routes, '--junit', file])).code).toBe(6);
    const text = await report();
    expect(text).toContain('<testsuite name="aiot stream route test" tests="2" failures="1" errors="0"');
    expect(text).toContain('<testcase classname="one" name="same" time="0"/>');
    expect(text).toMatch(/name="other" time="0"><failure type="failure" message="[^"]+">/);
  });

  it('reports no failures for clean data, and each finding of deploy check', async () => {
    expect(
      (await runCli(['data', 'check', '--project', join(root, 'templates/har-imu'), '--junit', file])).code,
    ).toBe(0);
    expect(await report()).toContain('failures="0"');
    await writeFile(
      join(folder, 'service.yaml'),
      'apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { type: NodePort, ports: [{ port: 1, nodePort: 9092 }] }\n',
    );
    expect((await runCli(['deploy', 'check', folder, '--junit', file])).code).toBe(6);
    expect(await report()).toMatch(
      /<testcase classname="node-port" name="service.yaml:4 [^"]*" time="0"><failure/,
    );
  });

  it('reports gates and device checks', () => {
    const gates = gateCases([
      { name: 'macroF1', limit: 0.95, got: 0.9, passed: false },
      { name: 'drop', limit: 0.01, got: 0, passed: true },
    ]);
    expect(gates.map(({ name, failure }) => [name, failure])).toEqual([
      ['macroF1 0.95', 'macroF1: limit 0.95, got 0.9'],
      ['drop 0.01', undefined],
    ]);
    const check = { id: 'a', section: 's', rule: 'r', reason: 'not asked for' };
    const checks = [
      { ...check, state: 'skipped' as const },
      { ...check, state: 'failed' as const },
    ];
    const counts = { device: 'd', conforms: false, passed: 0, failed: 1, skipped: 1, seconds: 1 };
    expect(conformityCases({ ...counts, checks }).map(({ failure, skipped }) => [failure, skipped])).toEqual([
      [undefined, 'not asked for'],
      ['not asked for', undefined],
    ]);
  });

  it('is rejected before any work if the file cannot be written', async () => {
    const { json } = await runCli([
      ...['stream', 'tail', `file:${join(folder, 'plant.ndjson')}`, '--expect', 'a', '--junit', folder],
      '--json',
    ]);
    expect(json).toMatchObject({ error: { code: expect.stringMatching(/^AIOT_FILE/) } });
  });
});

describe('JUnit XML', () => {
  it('escapes markup and replaces characters that XML cannot contain', () => {
    const name = `<&">' \u0000\u001b\uD800 \u{1F600}\n`;
    const text = junitXml('n', [{ className: 'c', name }], 0);
    expect(text).toContain('name="&lt;&amp;&quot;&gt;\' \uFFFD\uFFFD\uFFFD \u{1F600}&#10;"');
  });
});
