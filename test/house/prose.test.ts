import { describe, expect, it } from 'vitest';
import { findingsIn, passagesOfMarkdown, passagesOfSource, sentencesOf } from '../../scripts/prose.js';

const finds = (text: string, kind: 'docs' | 'command' | 'error' | 'comment' = 'docs') =>
  findingsIn({ text, line: 1, kind }).length;

describe('the prose linter', () => {
  it.each([
    ['a free relative as subject', 'What a far side does not take is spooled.'],
    ['who as a free relative', 'It is there for who asks for it.'],
    ['a verb of telling', 'A lost connection is told of.'],
    ['a house word', 'Mend what it names.'],
    ['a sentence of more than 30 words', `It ${'really '.repeat(30)}works.`],
    ['a chain of passives', 'It is received, was checked, is signed and has been stored.'],
  ])('finds %s', (_, text) => {
    expect(finds(text)).toBeGreaterThan(0);
  });

  it.each([
    ['a question', 'What happens when the broker is offline?'],
    ['plain sentences', 'Undelivered messages are spooled. Lost connections are reported.'],
    ['30 words, code counting as one', `Run \`${'word '.repeat(40)}\` and ${'then '.repeat(25)}stop.`],
  ])('accepts %s', (_, text) => {
    expect(finds(text)).toBe(0);
  });

  it('applies some rules only to docs, commands and errors', () => {
    expect(finds('The device restarts by itself.', 'docs')).toBe(1);
    expect(finds('The device restarts by itself.', 'comment')).toBe(0);
  });

  it('splits sentences at periods before a capital', () => {
    expect(sentencesOf('It runs, e.g. here. Then it stops. `code` follows.')).toEqual([
      'It runs, e.g. here.',
      'Then it stops.',
      '`code` follows.',
    ]);
  });

  it('reads paragraphs, list items and table cells, but neither code nor headings', () => {
    const page =
      '# Title\n\nOne\ntwo.\n\n- item\n  goes on\n\n```sh\nnobody\n```\n\n| a | b |\n| --- | --- |\n';
    expect(passagesOfMarkdown(page).map(({ text, line }) => [text, line])).toEqual([
      ['One two.', 3],
      ['item goes on', 6],
      ['a', 13],
      ['b', 13],
    ]);
  });

  it('reads comments everywhere, but texts only in commands', () => {
    const source =
      "/** A class. */\nclass A {\n  static summary = 'Do it.';\n  // One\n  // two.\n  b = 1;\n}\n";
    expect(passagesOfSource('src/commands/a.ts', source).map(({ text, kind }) => [text, kind])).toEqual([
      ['A class.', 'comment'],
      ['One two.', 'comment'],
      ['Do it.', 'command'],
    ]);
    expect(passagesOfSource('src/lib/a.ts', source)).toHaveLength(2);
  });
});
