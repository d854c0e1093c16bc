import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { decoderFor } from '../../../src/lib/stream/decode/decoder.js';
import type { DecoderName, DecoderOptions } from '../../../src/lib/stream/decode/values.js';
import { root } from '../../support/cli.js';
import { describeReal, python } from '../../support/real.js';

interface Case {
  name: string;
  hex: string;
  value: unknown;
}

describeReal('streams', 'payloads of cbor2, msgpack, fastavro and protobuf', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-decode-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const script = join(root, 'test', 'support', 'python', 'encoded_payloads.py');
  const { stdout, stderr } = spawnSync(python('streams'), [script, folder], { encoding: 'utf8' });
  const cases = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line || 'null') as Case);

  it('are generated without errors', () => {
    expect(stderr).toBe('');
    expect(cases.length).toBeGreaterThan(20);
  });

  it.each(cases)('decode to the original value: $name', async ({ name, hex, value }) => {
    const format = name.split(' ')[0] as DecoderName;
    const options: Partial<Record<DecoderName, DecoderOptions>> = {
      avro: { schema: join(folder, 'reading.avsc') },
      protobuf: { schema: join(folder, 'reading.proto'), type: 'plant.Reading' },
    };
    const decode = await decoderFor(format, options[format]);
    expect(decode({ topic: 't', time: 0, source: 'x', payload: Buffer.from(hex, 'hex') })).toEqual(value);
  });
});
