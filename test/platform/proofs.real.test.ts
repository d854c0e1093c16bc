import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { rolloutReportSchema } from '../../src/lib/api/rollouts/report.js';
import { rolloutSchema } from '../../src/lib/api/rollouts/schema.js';
import { proofSchema } from '../../src/lib/device/protocol/proof.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';

const run = promisify(execFile);

describeReal('openssl', 'the proof of an update', () => {
  let own: UpForTests;
  let client: RegistryClient;
  let device: VirtualDevice;
  beforeAll(async () => {
    own = await upForTests();
    client = await clientFor();
    await pushTiny(client, await operatorKey((await contextFor()).name));
    const identityDir = join(own.folder, 'pump');
    await provisionDevice({ client, name: 'pump', type: 'virtual', out: identityDir });
    device = await createVirtualDevice({ identityDir });
    await device.connect();
  }, 60_000);
  afterAll(async () => {
    await device.stop();
    await client.close();
    await own.stop();
  });

  it('can be verified with only the report, the platform’s CA and OpenSSL', async () => {
    const argv = [
      '--model',
      'tiny@1',
      '--selector',
      'name=pump',
      '--require-proof',
      '--soak',
      '1s',
      '--wait',
    ];
    const started = await runCli(['rollout', 'start', ...argv, '--json']);
    expect(started.code, started.stdout + started.stderr).toBe(0);
    const { id } = rolloutSchema.parse(started.json);
    const report = await ok(rolloutReportSchema, ['rollout', 'report', id]);
    const { proof, times } = report.devices[0]!;
    expect(proof).toMatchObject({ state: 'proven', golden: { vectors: 1, passed: 1 }, healthyS: 1 });
    expect(times.healthy).toBeGreaterThan(0);
    const { payload, certificate, sig } = proof!.signed!;
    const file = async (name: string, base64: string) => {
      await writeFile(join(own.folder, name), Buffer.from(base64, 'base64'));
      return join(own.folder, name);
    };
    const statement = await file('proof.json', payload);
    const der = await file('device.der', certificate);
    const signature = await file('proof.sig', sig);
    const [crt, key] = [join(own.folder, 'device.crt'), join(own.folder, 'device.pub')];
    await run('openssl', ['x509', '-inform', 'DER', '-in', der, '-out', crt]);
    expect((await run('openssl', ['verify', '-CAfile', own.ca, crt])).stdout).toContain('OK');
    expect((await run('openssl', ['x509', '-in', crt, '-noout', '-subject'])).stdout).toContain('pump');
    await run('openssl', ['x509', '-in', crt, '-pubkey', '-noout', '-out', key]);
    const dgst = ['dgst', '-sha256', '-verify', key, '-signature', signature];
    expect((await run('openssl', [...dgst, statement])).stdout).toContain('Verified OK');
    const said = proofSchema.parse(JSON.parse(Buffer.from(payload, 'base64').toString()));
    expect(said).toMatchObject({
      ...{ device: 'pump', rollout: id, kind: 'model', healthyS: 1 },
      release: { name: 'tiny', version: 1 },
    });
    const changed = await file(
      'changed.json',
      Buffer.from(JSON.stringify({ ...said, device: 'fan' })).toString('base64'),
    );
    await expect(run('openssl', [...dgst, changed])).rejects.toThrow();
    const shown = await runCli(['rollout', 'report', id]);
    expect(shown.stdout).toMatch(/proofs +1 signed, 0 unsigned, 0 invalid/);
    expect(shown.stdout).toMatch(/pump +tiny@1 .*signed \(1 of 1 test vectors, healthy for 1\.0 s\)/);
  });
});
