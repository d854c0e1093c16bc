import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findingsIn } from '../../scripts/prose.js';
import { brief, renderError } from '../../src/lib/cli/errors.js';
import { type CatalogueEntry, catalogue, type ErrorCode } from '../../src/lib/core/catalogue.js';
import { AiotError } from '../../src/lib/core/errors.js';

let before: string | undefined;
beforeEach(() => {
  before = process.env.COLUMNS;
  process.env.COLUMNS = '80';
});
afterEach(() => {
  if (before === undefined) delete process.env.COLUMNS;
  else process.env.COLUMNS = before;
});

const shown = (message: string, next?: string, code: keyof typeof catalogue = 'AIOT_USAGE') =>
  renderError(brief(new AiotError(code, message, { ...(next === undefined ? {} : { next }) })))
    .trimEnd()
    .split('\n');

describe('an error on a terminal', () => {
  it.each(Object.entries(catalogue))('takes at most three lines: %s', (code, { about, next }) => {
    const lines = shown(about, next, code as keyof typeof catalogue);
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines.at(-1)).toMatch(/^ {2}/);
  });

  it('is shown in full if it fits', () => {
    expect(shown('the file or folder rows.csv does not exist', 'aiot data list')).toEqual([
      '✗ AIOT_USAGE: the file or folder rows.csv does not exist',
      '  Try: aiot data list',
    ]);
  });

  it('keeps the first step and the beginning of a long cause', () => {
    const cause = 'connect ECONNREFUSED 127.0.0.1:8443 '.repeat(12);
    const lines = shown(
      `https://127.0.0.1:8443: ${cause}`,
      `Start it: aiot up. ${'Then look at its log. '.repeat(8)}`,
    );
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines[0]).toMatch(/^✗ AIOT_USAGE: https:\/\/127\.0\.0\.1:8443: connect/);
    expect(lines.join(' ')).toContain('… (--debug shows the rest)');
    expect(lines.at(-1)).toBe('  Try: Start it: aiot up.');
  });

  it('keeps the suggestion at the end of a long list of values', () => {
    const values = Array.from({ length: 80 }, (_, i) => `chip${i}`).join(', ');
    const lines = shown(`--chip: expected one of ${values}; got "chpi7". Did you mean chip7?`);
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines.join(' ')).toMatch(/chip0, .* … \(--debug shows the rest\)\. Did you mean chip7\?/);
  });

  it('shows one of several lines, and how to see the others', () => {
    const lines = shown(
      Array.from({ length: 9 }, (_, i) => `line ${i}: unknown field`).join('\n'),
      'aiot docs project',
    );
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines.join(' ')).toContain('line 0: unknown field');
    expect(lines.join(' ')).toContain('--debug');
  });
});

/** Every error with its catalogue text, repeated for each subject that has its own next step. */
const everyError = (Object.entries(catalogue) as [ErrorCode, CatalogueEntry][]).flatMap(
  ([code, { about, subjects = {} }]) =>
    [undefined, ...Object.keys(subjects)].map((subject) => ({
      code,
      subject,
      error: new AiotError(code, about, { subject }),
    })),
);

describe('the errors in the catalog', () => {
  it('match the stored page', async () => {
    process.env.COLUMNS = '100';
    const page = everyError.map(
      ({ subject, error }) => `${subject === undefined ? '' : `(${subject})\n`}${renderError(error)}`,
    );
    await expect(page.join('\n')).toMatchFileSnapshot('__snapshots__/errors.txt');
  });

  it('fit in four lines of 100 columns without truncation', () => {
    process.env.COLUMNS = '100';
    const long = everyError.filter(({ error }) => renderError(error).trimEnd().split('\n').length > 4);
    expect(long.map(({ code, subject }) => [code, subject])).toEqual([]);
  });

  it('are plain sentences of at most 30 words', () => {
    const wrong = everyError.flatMap(({ code, error }) =>
      [error.message, error.next].flatMap((text) => [
        ...findingsIn({ text, line: 1, kind: 'error' }).map((finding) => `${code}: ${finding}`),
        // A next step may also be a command, or end with one.
        ...(/^aiot |[.!?]$|: \S.*$/.test(text) ? [] : [`${code}: no end: ${text}`]),
      ]),
    );
    expect(wrong).toEqual([]);
  });

  it('suggest a next step of more than one word', () => {
    const idle = everyError.filter(({ error }) => error.next.split(' ').length < 2);
    expect(idle.map(({ code }) => code)).toEqual([]);
  });
});
