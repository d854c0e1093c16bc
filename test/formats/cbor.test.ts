import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { CborError, decodeCbor } from '../../src/lib/formats/cbor.js';
import { fc, runs } from '../support/property.js';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('CBOR', () => {
  /** Examples of RFC 8949, appendix A, that JSON can represent. */
  it.each([
    ['00', 0],
    ['01', 1],
    ['0a', 10],
    ['17', 23],
    ['1818', 24],
    ['1819', 25],
    ['1864', 100],
    ['1903e8', 1000],
    ['1a000f4240', 1_000_000],
    ['1b000000e8d4a51000', 1_000_000_000_000],
    ['20', -1],
    ['29', -10],
    ['3863', -100],
    ['3903e7', -1000],
    ['f90000', 0],
    ['f98000', -0],
    ['f93c00', 1],
    ['fb3ff199999999999a', 1.1],
    ['f93e00', 1.5],
    ['f97bff', 65504],
    ['fa47c35000', 100_000],
    ['fa7f7fffff', (2 - 2 ** -23) * 2 ** 127],
    ['fb7e37e43c8800759c', 1e300],
    ['f90001', 2 ** -24],
    ['f90400', 0.00006103515625],
    ['f9c400', -4],
    ['fbc010666666666666', -4.1],
    ['f4', false],
    ['f5', true],
    ['f6', null],
    ['60', ''],
    ['6161', 'a'],
    ['6449455446', 'IETF'],
    ['62225c', '"\\'],
    ['62c3bc', 'ü'],
    ['63e6b0b4', '水'],
    ['64f0908591', '𐅑'],
    ['80', []],
    ['83010203', [1, 2, 3]],
    ['8301820203820405', [1, [2, 3], [4, 5]]],
    [
      '98190102030405060708090a0b0c0d0e0f101112131415161718181819',
      Array.from({ length: 25 }, (_, i) => i + 1),
    ],
    ['a0', {}],
    ['a26161016162820203', { a: 1, b: [2, 3] }],
    ['826161a161626163', ['a', { b: 'c' }]],
    ['a56161614161626142616361436164614461656145', { a: 'A', b: 'B', c: 'C', d: 'D', e: 'E' }],
    ['9fff', []],
    ['9f018202039f0405ffff', [1, [2, 3], [4, 5]]],
    ['9f01820203820405ff', [1, [2, 3], [4, 5]]],
    ['83018202039f0405ff', [1, [2, 3], [4, 5]]],
    ['bf61610161629f0203ffff', { a: 1, b: [2, 3] }],
    ['826161bf61626163ff', ['a', { b: 'c' }]],
    ['bf6346756ef563416d7421ff', { Fun: true, Amt: -2 }],
  ])('%s decodes to %j', (bytes, value) => {
    expect(decodeCbor(hex(bytes))).toEqual(value);
  });

  /**
   * Examples that JSON cannot represent (appendix A) or that are not well-formed (appendix F), and some that are too
   * expensive to decode.
   */
  it.each([
    ['1bffffffffffffffff', 'expected an integer below 2^53'],
    ['c249010000000000000000', 'got a tag'],
    ['3bffffffffffffffff', 'expected an integer below 2^53'],
    ['f97c00', 'expected a finite number at byte 0, got Infinity'],
    ['f97e00', 'got NaN'],
    ['f9fc00', 'got -Infinity'],
    ['fa7f800000', 'got Infinity'],
    ['fb7ff8000000000000', 'got NaN'],
    ['f7', 'expected true, false, null or a number'],
    ['f0', 'expected true, false, null or a number'],
    ['f8ff', 'expected true, false, null or a number'],
    ['c074323031332d30332d32315432303a30343a30305a', 'got a tag'],
    ['4401020304', 'got a byte string'],
    ['a201020304', 'expected a text key'],
    ['5f42010243030405ff', 'got a byte string'],
    ['7f657374726561646d696e67ff', 'expected a definite length'],
    ['18', 'expected 1 bytes at byte 1, got 0'],
    ['19', 'expected 2 bytes'],
    ['1c', 'expected a definite length at byte 0, got 28'],
    ['61', 'expected 1 bytes'],
    ['62c328', 'expected UTF-8'],
    ['81', 'expected 1 items'],
    ['a1', 'expected 1 items'],
    ['a16161', 'expected 1 bytes at byte 3, got 0'],
    ['9f', 'expected 1 bytes at byte 1, got 0'],
    ['bf', 'expected 1 bytes'],
    ['bf6161ff', 'expected true, false, null or a number'],
    ['ff', 'expected true, false, null or a number'],
    ['', 'expected 1 bytes at byte 0, got 0'],
    ['0000', 'expected the end at byte 1, got 1 more'],
    ['a2616101616102', 'expected unique keys, got "a" again'],
    ['9affffffff', 'expected 4294967295 items after byte 0, got 0 bytes'],
    ['9bffffffffffffffff', 'expected a length below 2^53'],
    ['bb001fffffffffffff', 'expected a length below 2^53'],
    ['7affffffff', 'expected 4294967295 bytes at byte 5, got 0'],
    [`${'81'.repeat(17)}00`, 'arrays and maps are nested too deeply at byte 16'],
    [`${'9f'.repeat(100_000)}`, 'arrays and maps are nested too deeply'],
    [`${'a16161'.repeat(100_000)}`, 'arrays and maps are nested too deeply'],
  ])('%.40s is rejected: %s', (bytes, reason) => {
    const decode = () => decodeCbor(hex(bytes));
    expect(decode).toThrow(CborError);
    expect(decode).toThrow(reason);
  });

  it('is limited to the given number of items', () => {
    const bytes = Buffer.alloc(1001, 0x01);
    bytes[0] = 0x9f;
    expect(() => decodeCbor(bytes, { depth: 2, items: 1000 })).toThrow('expected at most 1000 items');
  });

  it('cannot modify an object’s prototype', () => {
    const value = decodeCbor(encode(new Map([['__proto__', new Map([['polluted', true]])]]))) as object;
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect((value as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('decodes to the same value if written by another encoder', () => {
    const json = fc.jsonValue({ maxDepth: 5 });
    fc.assert(
      fc.property(json, (value) => {
        // The other encoder has no -0, and neither does JSON.
        expect(decodeCbor(encode(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('is either decoded or rejected, wherever it is changed or truncated', () => {
    const good = Buffer.from(encode({ seq: 1, rate: 50, x: [1.5, -2, 3e9], y: ['ü', null, true] }));
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, length) => {
        const bytes = Buffer.from(good);
        bytes[at] = byte;
        try {
          decodeCbor(bytes.subarray(0, length));
        } catch (error) {
          expect(error).toBeInstanceOf(CborError);
        }
      }),
      { numRuns: runs(2000) },
    );
  });
});
