import { describe, expect, it } from 'vitest';
import { bufferOf, firstField, resampled, silenceOf, soundIn } from '../../web/pages/data/sound.js';

async function* pieces(...texts: string[]) {
  yield* texts;
}

describe('the sound of a recording', () => {
  it('is the first field that has values in the recording', async () => {
    const fields = ['x', 'audio'];
    const columns = [
      [null, null],
      [0, 1],
    ];
    expect(firstField(fields, columns)).toBe('audio');
    expect(firstField(fields, [[null], [undefined]])).toBeUndefined();
    const sound = await soundIn(pieces('x,au', 'dio\n,1', '\n,-', '4\n,\n,2'), 'audio', 2);
    expect([...sound]).toEqual([0.25, -1, 0, 0.5]);
    expect((await soundIn(pieces('x\n1\n'), 'audio', 1)).length).toBe(0);
  });

  it('is left out, with a reason, if it does not last as long as the recording, or is too long', () => {
    const whole = { rateHz: 8000, samples: 80_000, missing: 0 };
    const ends = (80_000 - 1) / 8000;
    expect(silenceOf({ ...whole, rateHz: 100 }, ends)).toBeUndefined();
    expect(silenceOf(whole, ends)).toBeNull();
    expect(silenceOf(whole, ends * 1.005)).toBeNull();
    expect(silenceOf({ ...whole, missing: 3 }, ends + 1)).toMatch(/messages are missing/);
    expect(silenceOf(whole, ends / 2)).toMatch(/do not match/);
    expect(silenceOf({ ...whole, samples: 6_000_000 }, 750)).toMatch(/too long/);
  });

  it('leaves the browser turns while it is parsed', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const piece = '0.123456\n'.repeat(20_000);
    await soundIn(pieces('a\n', ...Array<string>(60).fill(piece)), 'a', 1_200_000);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(2);
  });

  it('is converted if the browser rejects its rate', () => {
    const made: [number, number][] = [];
    const context = {
      sampleRate: 48_000,
      createBuffer(_: number, length: number, rate: number) {
        if (rate < 8000) throw new DOMException('rate', 'NotSupportedError');
        made.push([length, rate]);
        return { copyToChannel() {} };
      },
    };
    bufferOf(context, new Float32Array(4000), 4000);
    bufferOf(context, new Float32Array(8000), 8000);
    expect(made).toEqual([
      [48_000, 48_000],
      [8000, 8000],
    ]);
    expect([...resampled(Float32Array.of(0, 1, 0), 1, 2)]).toEqual([0, 0.5, 1, 0.5, 0, 0]);
    expect([...resampled(Float32Array.of(1, 3, 5, 7), 2, 1)]).toEqual([2, 6]);
  });
});
