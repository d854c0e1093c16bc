import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { md5 } from '../../web/board/md5.js';
import { crc32 as browserCrc32 } from '../../web/node/zlib.js';
import { fc } from '../support/property.js';

describe('the replacements for Node in browsers', () => {
  it('compute the same MD5 as Node, at every length around a block', () => {
    for (let length = 0; length < 200; length++) {
      const data = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 0xff);
      expect(md5(data)).toBe(createHash('md5').update(data).digest('hex'));
    }
  });

  it('compute the same MD5 and CRC-32 as Node', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 5000 }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        (data, start) => {
          expect(md5(data)).toBe(createHash('md5').update(data).digest('hex'));
          expect(browserCrc32(data, start)).toBe(crc32(data, start));
        },
      ),
    );
  });
});
