import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { billOfMaterials } from '../../scripts/ci/supply.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

describeReal('sbom', 'the bill of materials, checked by CycloneDX’s library', () => {
  let dir: string;
  let bom: ReturnType<typeof billOfMaterials>;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'aiot-sbom-'));
    bom = billOfMaterials();
  }, 60_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  async function judged(value: unknown) {
    const file = join(dir, 'bom.json');
    writeFileSync(file, JSON.stringify(value));
    const args = [join(root, 'scripts/ci/sbom.py'), file];
    return await new Promise<{ status: unknown; said: string }>((resolve) => {
      execFile(python('sbom'), args, (error, stdout, stderr) =>
        resolve({ status: error?.code ?? 0, said: stdout + stderr }),
      );
    });
  }

  it('is valid', async () => {
    expect(bom.components?.length).toBeGreaterThan(100);
    expect(await judged(bom)).toEqual({ status: 0, said: expect.stringMatching(/^CycloneDX 1\.\d: valid/) });
  }, 60_000);

  it.each<[what: string, change: (bom: object, components: object[]) => object]>([
    ['with an unknown format', (all) => ({ ...all, bomFormat: 'Other' })],
    ['with an unknown version', (all) => ({ ...all, specVersion: '9.9' })],
    [
      'with a component without a name',
      (all, [, ...rest]) => ({ ...all, components: [{ type: 'library' }, ...rest] }),
    ],
    ['with a duplicate component', (all, list) => ({ ...all, components: [...list, list[0]] })],
    ['with an unknown field', (all) => ({ ...all, made: 'up' })],
    [
      'with an invalid license',
      (all, [first, ...rest]) => ({
        ...all,
        components: [{ ...first, licenses: [{ license: { id: 'No-Such' } }] }, ...rest],
      }),
    ],
  ])(
    'is rejected %s',
    async (_, change) => {
      expect((await judged(change(bom, bom.components ?? []))).status).toBe(1);
    },
    60_000,
  );
});
