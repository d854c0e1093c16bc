import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { temporaryFolder } from './support.js';

describeReal('espeak', 'the template keyword-spotting with 40 voices of espeak-ng', () => {
  it('recognizes at least 88 % of the words from unheard voices, in at most 60 KiB', async () => {
    const dir = join(await temporaryFolder(), 'listener');
    const at = ['--project', dir, '--json'];
    expect((await runCli(['init', dir, '--template', 'keyword-spotting', '--json'])).code).toBe(0);
    const words = ['--words', 'yes,no,stop', '--voices', '40', '--rate', '16000'];
    const made = await runCli(['data', 'synthesize', ...words, ...at]);
    expect(made.json, made.stderr).toMatchObject({ replaced: 162, recordings: 40 * 48 });
    expect((await runCli(['model', 'train', ...at])).code).toBe(0);
    expect((await runCli(['model', 'quantize', ...at])).code).toBe(0);
    const { json, code, stderr } = await runCli(['model', 'evaluate', '--streaming', '10m', ...at]);
    expect(code, stderr).toBe(0);
    const { int8, bytes, stream } = json as EvaluateResult;
    expect(int8.accuracy).toBeGreaterThanOrEqual(0.88);
    expect(bytes).toBeLessThanOrEqual(60 * 1024);
    expect(stream!.detected / stream!.events).toBeGreaterThan(0.7);
  }, 1_800_000);
});
