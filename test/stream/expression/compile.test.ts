import { describe, expect, it } from 'vitest';
import { decoderFor } from '../../../src/lib/stream/decode/decoder.js';
import { compileExpression } from '../../../src/lib/stream/decode/expression.js';
import type { Message } from '../../../src/lib/stream/message.js';

const message: Message = {
  topic: 'iotkit/sensor',
  time: 1_700_000_000_000,
  source: 'mqtt://x',
  key: Buffer.from('k'),
  headers: [
    ['unit', 'C'],
    ['tag', 'a'],
    ['tag', 'b'],
  ],
  payload: Buffer.from('0xBC,26.31,41.2,low\0'),
};

describe('an expression', () => {
  it('that never ends is stopped, and evaluations of large messages are not', async () => {
    const endless = compileExpression('($f := function($n){$f($n)}; $f(1))');
    await expect(Promise.resolve(endless.evaluate(message, () => 1))).rejects.toMatchObject({
      code: 'AIOT_STREAM_EVALUATION',
      message: expect.stringContaining('it takes more than 500,000 steps'),
    });
    const sum = compileExpression('$sum($map($, function($v){$v * 2}))');
    const values = Array.from({ length: 20_000 }, () => 1);
    for (let i = 0; i < 5; i++) expect(await sum.evaluate(message, () => values)).toBe(40_000);
  });

  it.each<[string, unknown]>([
    ["$split($, ',')[1]", '26.31'],
    ["$number($split($, ',')[2])", 41.2],
    ["$contains($, ',') and $topic = 'iotkit/sensor'", true],
    ["$substringAfter($topic, '/')", 'sensor'],
    ['$headers', { unit: 'C', tag: ['a', 'b'] }],
    ["$key & '@' & $source", 'k@mqtt://x'],
    ['{"at": $fromMillis($time), "missing": nothing}', { at: '2023-11-14T22:13:20.000Z' }],
    ["$exists(nothing) ? 1 : 'no'", 'no'],
  ])('is evaluated synchronously: %s', async (text, value) => {
    const expression = compileExpression(text);
    expect(expression.simple).toBe(true);
    expect(expression.evaluate(message, await decoderFor('auto'))).toEqual(value);
  });

  it('is evaluated by the library if it is not simple', async () => {
    const expression = compileExpression("$split($, ',')[[1..2]].$number($)");
    expect(expression.simple).toBe(false);
    expect(await expression.evaluate(message, await decoderFor('auto'))).toEqual([26.31, 41.2]);
  });

  it('is named in the error if it is not valid JSONata', () => {
    expect(() => compileExpression('a >')).toThrow(
      expect.objectContaining({ code: 'AIOT_STREAM_EXPRESSION', message: expect.stringContaining('a >: ') }),
    );
  });

  it.each([
    ['a == 3', '"=" instead of "=="'],
    ['a > 3 && b === "on"', '"and" instead of "&&" and "=" instead of "==="'],
    ['a > 3 || b', '"or" instead of "||"'],
  ])('states the operators of JSONata if it has those of C: %s', (text, advice) => {
    expect(() => compileExpression(text)).toThrow(
      expect.objectContaining({ next: expect.stringContaining(advice) }),
    );
  });

  it('takes no advice from text in quotes', () => {
    expect(() => compileExpression('a > "&& ==" b')).toThrow(
      expect.objectContaining({ next: expect.not.stringContaining('instead of') }),
    );
  });

  it('fails with AIOT_STREAM_EVALUATION if it does not apply to a message', async () => {
    const failed = compileExpression('$ > 80').evaluate(message, await decoderFor('auto'));
    await expect(failed).rejects.toMatchObject({ code: 'AIOT_STREAM_EVALUATION' });
  });
});
