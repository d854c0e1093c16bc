import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { fieldsOf, mutantOf } from '../support/model-mutants.js';
import { ruleCases } from '../support/model-rules.js';

const { files, cases } = ruleCases();

/** The verdict on a file: `accepted`, or the error code. Any other error is a defect. */
function verdictOf(file: Uint8Array): string {
  try {
    createInterpreter(readTflite(file));
    return 'accepted';
  } catch (error) {
    if (error instanceof AiotError && error.code.startsWith('AIOT_TFLITE_')) return error.code;
    throw error;
  }
}

describe('the rules of .tflite files', () => {
  it.each(cases.filter(({ accepted }) => !accepted))('reject $what (rule $rule)', ({ file }) => {
    expect(verdictOf(file)).toMatch(/^AIOT_TFLITE_(MALFORMED|UNSUPPORTED)$/);
  });

  it.each(cases.filter(({ accepted }) => accepted))('allow $what', ({ file }) => {
    expect(verdictOf(file)).toBe('accepted');
  });

  it('are all listed, and every listed rule has a case', () => {
    const text = readFileSync(join(root, 'docs/reference/tflite-rules.md'), 'utf8');
    const listed = [...text.matchAll(/^\| (\d+) \|/gm)].map(([, rule]) => Number(rule));
    const tried = [...new Set(cases.map(({ rule }) => rule))].filter((rule) => rule > 0);
    expect(tried.sort((a, b) => a - b)).toEqual(listed);
  });

  it('accept or reject any mutated number, and never fail otherwise', () => {
    const random = seededRandom(9);
    const verdicts = new Map<string, number>();
    for (const file of Object.values(files)) {
      const fields = fieldsOf(file);
      for (let n = 0; n < 150; n++) {
        const verdict = verdictOf(mutantOf(file, fields, random).file);
        verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
      }
    }
    expect(verdicts.get('accepted')).toBeGreaterThan(150);
    expect(verdicts.get('AIOT_TFLITE_MALFORMED')).toBeGreaterThan(500);
  });
});
