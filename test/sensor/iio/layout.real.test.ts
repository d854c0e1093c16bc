import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { createScanDecoder } from '../../../src/lib/sensor/iio/buffered.js';
import { parseElementType, type ScanChannel } from '../../../src/lib/sensor/iio/channels.js';
import { fc } from '../../support/property.js';
import { describeReal } from '../../support/real.js';

/**
 * A scan with C's layout: Python's ctypes aligns members and pads structures by the rules of the platform's compiler.
 */
const packer = `
import base64, ctypes, json, sys
kinds = {(True, 8): ctypes.c_int8, (False, 8): ctypes.c_uint8, (True, 16): ctypes.c_int16, (False, 16): ctypes.c_uint16,
         (True, 32): ctypes.c_int32, (False, 32): ctypes.c_uint32, (True, 64): ctypes.c_int64, (False, 64): ctypes.c_uint64}
out = []
for case in json.load(sys.stdin):
    fields = [(f"e{i}", kinds[(e["signed"], e["bits"])]) for i, e in enumerate(case)]
    scan = type("Scan", (ctypes.Structure,), {"_fields_": fields})()
    ctypes.memset(ctypes.byref(scan), 0xA5, ctypes.sizeof(scan))
    for i, e in enumerate(case):
        value = int(e["value"])
        if e["big"]:
            value = int.from_bytes(value.to_bytes(e["bits"] // 8, "little", signed=e["signed"]), "big", signed=e["signed"])
        setattr(scan, f"e{i}", value)
    out.append(base64.b64encode(bytes(scan)).decode())
print(json.dumps(out))
`;

describeReal('python3', 'Industrial I/O scans packed with C alignment', () => {
  it('are decoded to their original values', () => {
    const element = fc
      .record({
        signed: fc.boolean(),
        bits: fc.constantFrom(8, 16, 32, 64),
        big: fc.boolean(),
        any: fc.maxSafeInteger(),
      })
      .map(({ signed, bits, big, any }) => {
        const cut = signed ? BigInt.asIntN : BigInt.asUintN;
        return { signed, bits, big, value: `${cut(Math.min(bits, 53), BigInt(any))}` };
      });
    const cases = fc.sample(fc.array(element, { minLength: 1, maxLength: 9 }), { numRuns: 300, seed: 7 });
    const packed: string[] = JSON.parse(
      execFileSync('python3', ['-c', packer], { input: JSON.stringify(cases), encoding: 'utf8' }),
    );
    for (const [at, elements] of cases.entries()) {
      const channels = elements.map(
        ({ signed, bits, big }, index): ScanChannel => ({
          name: `channel_${index}`,
          field: { name: `channel_${index}`, unit: '' },
          offset: 0,
          scale: 1,
          index,
          type: parseElementType(`${big ? 'be' : 'le'}:${signed ? 's' : 'u'}${bits}/${bits}>>0`),
        }),
      );
      const scan = Buffer.from(packed[at]!, 'base64');
      const decoder = createScanDecoder(channels, []);
      expect(decoder.scanBytes).toBe(scan.length);
      // Two consecutive scans.
      const { values } = decoder.decode(Buffer.concat([scan, scan]), 2);
      const wanted = elements.map(({ value }) => Number(value));
      expect([...values]).toEqual([...wanted, ...wanted]);
    }
  });
});
