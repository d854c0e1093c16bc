import { didYouMean } from '../../core/index.js';
import { type Key, keys, tagKey } from './keys.js';
import type { Expression, Operator, Term } from './types.js';
import { invalid, keywords, type Word, wordsOf } from './words.js';

const longest = 4000;
const deepest = 32;
const operators: readonly string[] = ['=', '!=', '<', '<=', '>', '>=', '~'] satisfies Operator[];
const tagPattern = /^[a-z][a-z0-9_.-]{0,62}$/i;

/**
 * The grammar of selectors, one for the command line, the API and rollouts; keywords in any case:
 *
 *     selector = "all" | or          not  = "not" not | "(" or ")" | term
 *     or       = and { "or" and }    term = "has" KEY | KEY ["not"] "in" "(" VALUE { "," VALUE } ")"
 *     and      = not { "and" not }        | KEY ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" ) VALUE
 *
 * A key that is not of `keys` is a tag; `tag.KEY` is one in any case.
 * @throws AIOT_SELECTOR_INVALID with the column, what was expected there, and what was found
 */
export function parseExpression(text: string): Expression {
  if (text.length > longest) {
    throw invalid(longest + 1, `at most ${longest} characters`, `${text.length} characters`);
  }
  const reader = new Reader(wordsOf(text));
  if (reader.takes('all')) return reader.end({ kind: 'all' });
  return reader.end(reader.any(0));
}

class Reader {
  private at = 0;

  constructor(private readonly words: Word[]) {}

  any(depth: number): Expression {
    return this.joined('or', () => this.joined('and', () => this.one(depth)));
  }

  end(expression: Expression): Expression {
    const { kind } = this.word;
    if (kind !== 'end') throw this.unexpected(expression.kind === 'all' ? 'nothing after all' : 'and or or');
    return expression;
  }

  /** Whether this keyword comes, which is then behind. */
  takes(keyword: string): boolean {
    const { kind, text } = this.word;
    if (kind !== 'word' || text.toLowerCase() !== keyword) return false;
    this.at++;
    return true;
  }

  private get word(): Word {
    return this.words[this.at] as Word;
  }

  private joined(kind: 'and' | 'or', part: () => Expression): Expression {
    const of = [part()];
    while (this.takes(kind)) of.push(part());
    return of.length === 1 ? (of[0] as Expression) : { kind, of };
  }

  private one(depth: number): Expression {
    if (depth > deepest) {
      throw invalid(this.word.column, `at most ${deepest} levels of not and parentheses`, 'one more');
    }
    if (this.takes('not')) return { kind: 'not', of: this.one(depth + 1) };
    if (this.takesSign('(')) {
      const inner = this.any(depth + 1);
      if (!this.takesSign(')')) throw this.unexpected('and, or, or )');
      return inner;
    }
    return this.term();
  }

  private term(): Expression {
    if (this.takes('has')) {
      const { key } = this.key('a key');
      return { kind: 'term', key, operator: 'has', values: [] };
    }
    const { key, rule } = this.key('all, a key, not, has or (');
    const { kind, text, column } = this.word;
    const without = this.takes('not');
    if (this.takes('in')) {
      this.allow(rule, key, 'in', column);
      const term: Term = { kind: 'term', key, operator: 'in', values: this.list(rule) };
      return without ? { kind: 'not', of: term } : term;
    }
    if (without) throw this.unexpected('in');
    if (kind !== 'sign' || !operators.includes(text)) {
      throw this.unexpected(
        `an operator after ${key} (${rule.operators.filter((each) => each !== 'has').join(' ')})`,
      );
    }
    const operator = text as Operator;
    this.allow(rule, key, operator, column);
    this.at++;
    return { kind: 'term', key, operator, values: [this.value(rule, operator)] };
  }

  private allow(rule: Key, key: string, operator: Operator, column: number): void {
    if (rule.operators.includes(operator)) return;
    throw invalid(column, `one of ${rule.operators.join(' ')} with ${key}`, operator);
  }

  private list(rule: Key): string[] {
    const values: string[] = [];
    if (!this.takesSign('(')) throw this.unexpected('( after in');
    do values.push(this.value(rule, 'in'));
    while (this.takesSign(','));
    if (!this.takesSign(')')) throw this.unexpected(', or )');
    return values;
  }

  private value(rule: Key, operator: Operator): string {
    const { kind, text, column } = this.word;
    const keyword = kind === 'word' && keywords.has(text.toLowerCase());
    if (kind === 'end' || kind === 'sign' || keyword) {
      throw this.unexpected(
        `a value after ${operator}${keyword ? ' (a word of the grammar in quotes)' : ''}`,
      );
    }
    if (operator !== '~' && rule.accepts && !rule.accepts(text, operator)) {
      throw invalid(
        column,
        rule.expected ?? 'another value',
        `"${text}"${didYouMean(text, rule.options ?? [])}`,
      );
    }
    this.at++;
    return rule.normal?.(text) ?? text;
  }

  private key(expected: string): { key: string; rule: Key } {
    const { kind, text, column } = this.word;
    if (kind !== 'word' || keywords.has(text.toLowerCase())) throw this.unexpected(expected);
    const own = Object.hasOwn(keys, text) ? keys[text] : undefined;
    const alike = Object.keys(keys).find((key) => key.toLowerCase() === text.toLowerCase());
    if (!own && alike) throw invalid(column, `${alike}, or tag.${text} for a tag of that name`, text);
    const tag = text.startsWith('tag.') ? text.slice('tag.'.length) : text;
    if (!own && !tagPattern.test(tag)) {
      throw invalid(column, 'a key of letters, digits, _ . and - that begins with a letter', `"${text}"`);
    }
    this.at++;
    return own ? { key: text, rule: own } : { key: `tag.${tag}`, rule: tagKey(tag) };
  }

  private takesSign(sign: string): boolean {
    const { kind, text } = this.word;
    if (kind !== 'sign' || text !== sign) return false;
    this.at++;
    return true;
  }

  private unexpected(expected: string) {
    const { kind, text, column } = this.word;
    return invalid(column, expected, kind === 'end' ? 'the end' : `"${text}"`);
  }
}
