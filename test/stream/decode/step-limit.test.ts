import { expect, it } from 'vitest';
import { isCheap } from '../../../src/lib/stream/decode/step-limit.js';
import { isTrue } from '../../../src/lib/stream/decode/truth.js';

it('considers only patterns cheap whose searches take no exponential time', () => {
  const cheap = [/^on/, /a*b/, /[a-z]{2,9}/, /on|off/, /^(on|off)$/, /(on|off).*/, /(\d+)/, /a(b)(c)/];
  expect(cheap.filter((pattern) => !isCheap(pattern))).toEqual([]);
  const dear = [
    /(a|a)*b/,
    /(a|ab)*c/,
    /(a+)+$/,
    /(a*)b*/,
    /(?:a|a)+b/,
    /(a|a){30}b/,
    /a*a*/,
    /(a|a)(a|a)(a|a)b/,
  ];
  expect(dear.filter(isCheap)).toEqual([]);
});

it('converts a result to a boolean like JSONata', () => {
  const truths = [true, 1, -1, 'no', { a: 0 }, [0, 1], [[], [1]]];
  expect(truths.filter((value) => !isTrue(value))).toEqual([]);
  const falsehoods = [false, 0, Number.NaN, '', {}, [], [0, ''], null, undefined];
  expect(falsehoods.filter(isTrue)).toEqual([]);
});
