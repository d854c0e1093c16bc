import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { decodeMessage } from '../../src/lib/device/protocol/codec.js';
import { protocolSchemas } from '../../src/lib/device/protocol/schemas.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const writer = `
import cbor2, json, sys
for line in sys.stdin:
    value = json.loads(line)
    print(cbor2.dumps(value).hex(), cbor2.dumps(value, canonical=True).hex())
`;

describeReal('streams', 'a message written by cbor2', () => {
  const page = readFileSync(join(root, 'docs', 'reference', 'protocol.md'), 'utf8');
  const examples = [...page.matchAll(/```json (\w+)\n(.+?)\n```/gs)].filter(
    ([, name = '']) => name in protocolSchemas,
  );
  const input = examples.map(([, , text = '']) => JSON.stringify(JSON.parse(text))).join('\n');
  const { stdout } = spawnSync(python('streams'), ['-c', writer], { input, encoding: 'utf8' });
  const lines = stdout.trimEnd().split('\n');

  it.each(examples.map(([, name = '', text = ''], i) => ({ name, text, written: lines[i] ?? '' })))(
    'decodes to the same $name as from JSON: $text',
    ({ name, text, written }) => {
      const schema = protocolSchemas[name as keyof typeof protocolSchemas];
      for (const bytes of written.split(' ')) {
        expect(decodeMessage(schema, 'p', Buffer.from(bytes, 'hex'))).toEqual(JSON.parse(text));
      }
    },
  );

  it('exists for each documented example', () => {
    expect(lines).toHaveLength(examples.length);
    expect(examples.length).toBeGreaterThan(10);
  });
});
