import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import type { FirmwareBuild } from '../../src/lib/project/firmware/build.js';
import type { FirmwareTest } from '../../src/lib/project/firmware/test-run.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';

import { runCli } from '../support/cli.js';
import { testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

const yaml = (signal: string, version = '1.2.3') => `name: pump
stream: { topic: motor, fields: { ax: { unit: g }, ay: { unit: g }, az: { unit: g } } }
signal: ${signal}
model: { labels: { normal: [ok], anomaly: [bad] } }
firmware: { version: ${version} }
`;
const spectral = '{ rate: 100, window: 100, stride: 50, features: spectral }';

describeReal('native', 'a project’s own firmware', () => {
  let own = '';
  let dir = '';
  beforeAll(async () => {
    own = await mkdtemp(join(tmpdir(), 'aiot-own-'));
    dir = join(own, 'firmware');
    await writeFile(join(own, 'aiot.yaml'), yaml(spectral));
    expect(await runCli(['firmware', 'init', dir, '--project', own])).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(own, { recursive: true, force: true });
  });

  const build = async (...more: string[]) => {
    const { code, json, stderr, stdout } = await runCli(['firmware', 'build', dir, ...more, '--json']);
    if (code !== 0) throw new Error(`${stdout}${stderr}`);
    return json as FirmwareBuild;
  };
  const test = async (filter: string) => {
    const { code, json, stdout, stderr } = await runCli([
      'firmware',
      'test',
      dir,
      '--filter',
      filter,
      '--json',
    ]);
    if (json === undefined || 'error' in (json as object)) throw new Error(`${stdout}${stderr}`);
    return { code, ...(json as FirmwareTest) };
  };

  it('is built for this machine, and runs as a device that reports its name and version', async () => {
    const made = await build();
    expect(made).toMatchObject({ target: 'host', tool: 'cmake', regenerated: [], main: { kind: 'elf' } });
    const platform = await testPlatform();
    try {
      vi.stubEnv('AIOT_CONFIG_DIR', join(platform.folder, 'config'));
      const { urls, ca } = platform.platform;
      await addContext('own', { url: urls.http, ca, token: platform.token }, { use: true });
      const identity = join(platform.folder, 'pump-1');
      await mkdir(identity);
      await provisionDevice({ client: platform.client, name: 'pump-1', type: 'virtual', out: identity });
      const program = made.files[0]!.file;
      const { code, stdout } = await runCli([
        ...['device', 'simulate', identity, '--native', '--program', program, '--for', '1s', '--json'],
      ]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/"firmware":\{"name":"pump","version":"1\.2\.3"/);
      const missing = await runCli([
        'device',
        'simulate',
        identity,
        '--native',
        '--program',
        join(own, 'none'),
        '--json',
      ]);
      expect(missing.code).toBe(4);
    } finally {
      await platform.stop();
    }
  }, 240_000);

  it('computes the fields, features and labels of aiot.yaml as the core does', async () => {
    for (const signal of [
      spectral,
      '{ rate: 100, lowpass: 12, resample: 50, window: 250, stride: 125, features: motion }',
      '{ rate: 50, window: 500, stride: 250, features: har }',
      '{ rate: 10, window: 20, stride: 20, features: raw }',
      '{ rate: 100, window: 100, stride: 50, features: [ax_rms, ay_peak_hz] }',
    ]) {
      await writeFile(join(own, 'aiot.yaml'), yaml(signal));
      const { tests, code } = await test('^generated$');
      expect({ signal, code, tests }).toMatchObject({
        code: 0,
        tests: [{ name: 'generated', state: 'passed' }],
      });
    }
  }, 240_000);

  it('fails its test with exit code 6 and shows why if the core computes something else', async () => {
    const source = join(dir, 'core', 'src', 'signal', 'spectral.c');
    const text = await readFile(source, 'utf8');
    await writeFile(join(own, 'aiot.yaml'), yaml(spectral));
    await writeFile(source, text.replace('"_rms"', '"_loud"'));
    const { code, failed, tests } = await test('^(generated|message)$');
    await writeFile(source, text);
    expect({ code, failed }).toEqual({ code: 6, failed: 1 });
    expect(tests).toMatchObject([
      { name: 'generated', state: 'failed', output: expect.stringContaining('the features by their names') },
      { name: 'message', state: 'passed' },
    ]);
  }, 120_000);

  it('rejects a test filter that matches no name', async () => {
    const { code, stdout, stderr } = await runCli(['firmware', 'test', dir, '--filter', 'nobody', '--json']);
    expect(code).toBe(2);
    expect(`${stdout}${stderr}`).toContain('--filter: no test name matches nobody');
  }, 60_000);

  it('reports the line of a source that does not compile', async () => {
    const source = join(dir, 'core', 'src', 'queue.c');
    const text = await readFile(source, 'utf8');
    await writeFile(source, `${text}\nint oops = "text";\n`);
    const { code, stdout, stderr } = await runCli(['firmware', 'build', dir, '--json']);
    await writeFile(source, text);
    expect(code).toBe(1);
    expect(`${stdout}${stderr}`).toMatch(/AIOT_FIRMWARE_BUILD.*queue\.c:\d+:\d+: error/s);
    expect(existsSync(join(dir, 'build', 'host.log'))).toBe(true);
  }, 60_000);

  describeReal('riscv', 'for the ESP32-C3 instruction set', () => {
    it('is built as an image for the bare chip', async () => {
      const { files, main } = await build('--target', 'c3');
      expect(main).toMatchObject({ kind: 'image', image: { chip: 'esp32c3', kind: 'bootloader' } });
      expect(files[1]).toMatchObject({ kind: 'elf', text: expect.any(Number) });
    }, 120_000);

    it.runIf(process.env.AIOT_LONG === '1')(
      'is built as the core with its tests',
      async () => {
        const { files } = await build('--target', 'rv32');
        expect(files.length).toBeGreaterThanOrEqual(5);
        expect(files[0]).toMatchObject({ kind: 'elf', file: expect.stringContaining('predictor_rv32.elf') });
        const { tests } = await test('^signal_rv32$');
        expect(tests).toMatchObject([{ name: 'signal_rv32', on: 'rv32', state: 'passed' }]);
      },
      300_000,
    );
  });
});
