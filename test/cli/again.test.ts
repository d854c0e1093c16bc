import { describe, expect, it } from 'vitest';
import { again, shellWord } from '../../src/lib/cli/index.js';

describe('what the next lines repeat of the command line', () => {
  const flags = { project: 'my watch', data: 'takes', context: 'home' };

  it('is the flags named that were typed, in that order', () => {
    const given = (flag: string) => flag !== 'context';
    expect(again({ flags, given }, 'project', 'context', 'data')).toBe(' --project "my watch" --data takes');
  });

  it('is nothing where all of them are defaults or from the environment', () => {
    expect(again({ flags, given: () => false }, 'project', 'data')).toBe('');
  });

  it.each([
    ['my-watch', 'my-watch'],
    ['../a_b/c.d', '../a_b/c.d'],
    ['a b', '"a b"'],
    ['', '""'],
    ['~/x', '"~/x"'],
    ['a;b', '"a;b"'],
    ['$HOME', "'$HOME'"],
    ['wow!', "'wow!'"],
    ["it's $5", "'it'\\''s $5'"],
  ])('quotes %s as a shell needs it', (text, word) => {
    expect(shellWord(text)).toBe(word);
  });
});
