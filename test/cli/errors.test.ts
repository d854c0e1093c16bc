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

  it('keeps the value and the suggestion after a long list of values', () => {
    const values = Array.from({ length: 80 }, (_, i) => `chip${i}`).join(', ');
    const lines = shown(`--chip: expected one of ${values}; got "chpi7". Did you mean chip7?`);
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines.join(' ')).toMatch(
      /--chip: expected one of chip0, .* …; got "chpi7"\. Did you mean chip7\? \(--debug shows the rest\)/,
    );
  });

  const words = Array.from({ length: 40 }, (_, i) => `word${i}`).join(', ');
  it.each([
    [
      'a value in quotes with punctuation',
      `expected a template (${words}), got "a, got b; c: d". Did you mean har-imu?`,
      /^expected a template \(word0, .*…\), got "a, got b; c: d"\. Did you mean har-imu\? \(--debug/,
    ],
    [
      'a second clause',
      `"site=lab" matches no device of type ${words}; it matches only devices of type pump, fan`,
      /^"site=lab" matches no device .*…; it matches only devices of type pump, fan \(--debug/,
    ],
    [
      'a cause after a colon',
      `cannot read ${words}: permission denied`,
      /^cannot read word0, .*…: permission denied \(--debug/,
    ],
    [
      'a single clause',
      `"site=lab" matches no device of type ${words}`,
      /^"site=lab" matches no device of type word0, .*… \(--debug shows the rest\)$/,
    ],
    [
      'a last clause that is too long',
      `--chip: expected a chip; got "${words}"`,
      /^--chip: expected a chip; got "word0, .*… \(--debug shows the rest\)$/,
    ],
  ])('keeps the beginning and the end of a long message: %s', (_, message, expected) => {
    const lines = shown(message, 'aiot list');
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(
      lines
        .slice(0, -1)
        .map((line) => line.trim())
        .join(' ')
        .replace('✗ AIOT_USAGE: ', ''),
    ).toMatch(expected);
  });

  it('keeps the mistyped template', () => {
    const templates =
      'count-parts, face-camera, har-imu, iot-kit, keyword-spotting, motor-watch, person-or-part';
    const message = `expected a template (${templates}), got "har-imuu". Did you mean har-imu?`;
    const next = 'Choose one of these, such as `aiot init DIR --template har-imu`.';
    expect(shown(message, next).join(' ')).toMatch(
      /expected a template .*…\), got "har-imuu"\. Did you mean har-imu\?/,
    );
    expect(shown(message, next).length).toBeLessThanOrEqual(3);
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
