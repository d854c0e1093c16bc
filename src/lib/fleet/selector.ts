import { AiotError } from '../core/errors.js';
import { didYouMean, nearest } from '../core/text.js';
import { type Key, keys, tagKey } from './selector-keys.js';

/** The part of a device that a selector can test, as in the API. */
export interface Selectable {
  name: string;
  id: string;
  type: string;
  state: string;
  groups: readonly string[];
  tags: Readonly<Record<string, string>>;
  online: boolean;
  /** The active model, as last reported by the device. */
  model: { name: string; version: number } | null;
  firmware: string | null;
  /** ms since 1970 */
  lastSeen: number | null;
  created: number;
  mac: string | null;
}

export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=' | '~' | 'in' | 'has';

/** A single test of a device. */
export interface Term {
  kind: 'term';
  /** `name`, `fw`, …; `tag.site` for a tag. */
  key: string;
  operator: Operator;
  /** Empty for `has`, any number for `in`, exactly one for all other operators. */
  values: string[];
}

export type Expression =
  | Term
  | { kind: 'all' }
  | { kind: 'not'; of: Expression }
  | { kind: 'and' | 'or'; of: Expression[] };

type Test = (device: Selectable) => boolean;

/**
 * Compiles a selector: `all`, `motor-1,motor-2`, `type=esp32 and fw<1.4`, `site=lab and not (online=true or lastSeen>2d)`. A value that the
 * device does not have matches no comparison except `!=`.
 * @param now ms since 1970, for relative times
 * @throws AIOT_SELECTOR_INVALID
 */
export function parseSelector(text: string, now: number): Test {
  return testOf(parseExpression(text), now);
}

/**
 * If a selector is only a list of names, requires each device to exist, so that a mistyped name does not merely shrink
 * the selection.
 * @param known the names of all devices
 * @param near names to suggest for an unknown one
 * @throws AIOT_NOT_FOUND with the nearest name, AIOT_SELECTOR_INVALID
 */
export function requireListedNames(
  text: string,
  known: { has(name: string): boolean },
  near: (name: string) => readonly string[],
): void {
  const unknown = listedNames(text)?.find((name) => !known.has(name));
  if (unknown === undefined) return;
  throw new AiotError(
    'AIOT_NOT_FOUND',
    `no device is named ${unknown}${didYouMean(unknown, near(unknown))}`,
    {
      subject: 'device',
    },
  );
}

/**
 * Rejects a tag that no device has, and whose name is similar to a key or to another tag. Called if a selector matches no devices, so that
 * `tpye=esp32` does not look like an empty fleet.
 * @param tags the names of all devices' tags
 * @throws AIOT_SELECTOR_INVALID with the nearest name
 */
export function requireKnownTags(text: string, tags: () => ReadonlySet<string>): void {
  const named = keysIn(parseExpression(text)).filter((key) => key.startsWith('tag.'));
  if (named.length === 0) return;
  const known = tags();
  for (const key of named) {
    const tag = key.slice('tag.'.length);
    const near = known.has(tag) ? undefined : nearest(tag, [...Object.keys(keys), ...known]);
    if (near !== undefined)
      throw new AiotError('AIOT_SELECTOR_INVALID', `no device has a tag named ${tag}. Did you mean ${near}?`);
  }
}

function keysIn(expression: Expression): string[] {
  switch (expression.kind) {
    case 'all':
      return [];
    case 'not':
      return keysIn(expression.of);
    case 'and':
    case 'or':
      return expression.of.flatMap(keysIn);
    case 'term':
      return [expression.key];
  }
}

/**
 * Restricts a selector to online devices; null if the selector already tests `online`.
 * @throws AIOT_SELECTOR_INVALID
 */
export function onlineOnly(text: string): string | null {
  const expression = parseExpression(text);
  if (expression.kind === 'all') return 'online=true';
  if (keysIn(expression).includes('online')) return null;
  return `online=true and ${partOf(expression, text.trim())}`;
}

/** Combines selectors into one that matches the devices that all of them match. @throws AIOT_SELECTOR_INVALID */
export function everyOf(texts: readonly string[]): string {
  const parts = [...new Set(texts.map((text) => text.trim()))].filter((text) => !isAll(text));
  if (parts.length < 2) return parts[0] ?? 'all';
  return parts.map((text) => partOf(parseExpression(text), text)).join(' and ');
}

/** Combines selectors into one that matches the devices that any of them matches. @throws AIOT_SELECTOR_INVALID */
export function anyOf(texts: readonly string[]): string {
  const parts = [...new Set(texts.map((text) => text.trim()))];
  if (parts.length === 0 || parts.some(isAll)) return 'all';
  return parts.length === 1
    ? parts.join()
    : parts.map((text) => partOf(parseExpression(text), text)).join(' or ');
}

function isAll(text: string): boolean {
  return parseExpression(text).kind === 'all';
}

/** The keys that a selector tests; `tag.site` for a tag. @throws AIOT_SELECTOR_INVALID */
export function keysOf(text: string): ReadonlySet<string> {
  return new Set(keysIn(parseExpression(text)));
}

/** The names in a selector that is only a list of names; null for any other selector. @throws AIOT_SELECTOR_INVALID */
export function listedNames(text: string): readonly string[] | null {
  const expression = parseExpression(text);
  const isList = expression.kind === 'term' && expression.key === 'name' && expression.operator === 'in';
  return isList ? expression.values : null;
}

/** The names that devices must have for a selector to match; null if it does not limit them. @throws AIOT_SELECTOR_INVALID */
export function possibleNames(text: string): readonly string[] | null {
  return namesFor(parseExpression(text));
}

function namesFor(expression: Expression): readonly string[] | null {
  switch (expression.kind) {
    case 'all':
    case 'not':
      return null;
    case 'and':
      return expression.of.reduce<readonly string[] | null>((names, part) => names ?? namesFor(part), null);
    case 'or': {
      const parts = expression.of.map(namesFor);
      if (parts.some((names) => names === null)) return null;
      return [...new Set(parts.flatMap((names) => names ?? []))];
    }
    case 'term': {
      const { key, operator, values } = expression;
      return key === 'name' && (operator === '=' || operator === 'in') ? values : null;
    }
  }
}

/** Rewrites a list of names as a condition. Names of no device then match nothing; in a list, they are rejected. @throws AIOT_SELECTOR_INVALID */
export function withoutList(text: string): string {
  const names = listedNames(text);
  return names === null ? text : names.map((name) => `name=${valueText(name)}`).join(' or ');
}

/** Formats an expression as an operand of `and`. A list of names is rewritten, because it can only be a whole selector. */
function partOf(expression: Expression, text: string): string {
  if (expression.kind === 'or') return `(${text})`;
  if (expression.kind !== 'term' || expression.key !== 'name' || expression.operator !== 'in') return text;
  const values = expression.values.map(valueText);
  return values.length === 1 ? `name=${values[0]}` : `name in (${values.join(', ')})`;
}

export function testOf(expression: Expression, now: number): Test {
  switch (expression.kind) {
    case 'all':
      return () => true;
    case 'not': {
      const inner = testOf(expression.of, now);
      return (device) => !inner(device);
    }
    case 'and': {
      const parts = expression.of.map((part) => testOf(part, now));
      return (device) => parts.every((part) => part(device));
    }
    case 'or': {
      const parts = expression.of.map((part) => testOf(part, now));
      return (device) => parts.some((part) => part(device));
    }
    case 'term':
      return termTest(expression, now);
  }
}

const fits: Partial<Record<Operator, (order: number) => boolean>> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

function termTest({ key, operator, values }: Term, now: number): Test {
  const rule: Key = key.startsWith('tag.') ? tagKey(key.slice('tag.'.length)) : (keys[key] as Key);
  const [value = ''] = values;
  const equal = rule.equal ?? ((text: string, wanted: string) => text === wanted);
  const isOne =
    values.length === 1
      ? (text: string) => equal(text, value)
      : (text: string) => values.some((each) => equal(text, each));
  const some = someText(rule);
  const is = some(isOne);
  switch (operator) {
    case 'has':
      return some(() => true);
    case '=':
    case 'in':
      return is;
    case '!=':
      return (device) => !is(device);
    case '~':
      return some((text) => matchesGlob(text, value));
    default: {
      const order = rule.order?.(value, now);
      const holds = fits[operator];
      return (device) => {
        const found = order?.(device) ?? null;
        return found !== null && holds?.(found) === true;
      };
    }
  }
}

/** Tests whether one of a key's texts matches. Runs for many devices, so a single text allocates no array. */
function someText({ text, texts }: Key): (fits: (text: string) => boolean) => Test {
  if (texts) return (fits) => (device) => texts(device).some(fits);
  return (fits) => (device) => {
    const own = text?.(device) ?? null;
    return own !== null && fits(own);
  };
}

const longest = 4000;
const deepest = 32;
const operators: readonly string[] = ['=', '!=', '<', '<=', '>', '>=', '~'] satisfies Operator[];
const tagPattern = /^[a-z][a-z0-9_.-]{0,62}$/i;

/**
 * Grammar of selectors, the same for the command line, the API and rollouts. Keywords are case-insensitive:
 *
 *     selector = "all" | NAME { "," NAME } | or
 *                                    not  = "not" not | "(" or ")" | term
 *     or       = and { "or" and }    term = "has" KEY | KEY ["not"] "in" "(" VALUE { "," VALUE } ")"
 *     and      = not { "and" not }        | KEY ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" ) VALUE
 *
 * A key that is not in `keys` is a tag, and `tag.KEY` always is. A NAME is the name of a device, and must be quoted if it is also a key or
 * a keyword.
 * @throws AIOT_SELECTOR_INVALID with the column, what was expected there, and what was found
 */
export function parseExpression(text: string): Expression {
  if (text.length > longest) {
    throw invalid(longest + 1, `at most ${longest} characters`, `${text.length} characters`);
  }
  const reader = new Reader(wordsOf(text));
  if (reader.takes('all')) return reader.end({ kind: 'all' });
  const names = reader.names();
  return reader.end(names ? { kind: 'term', key: 'name', operator: 'in', values: names } : reader.any(0));
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

  /** Consumes a list of names. Returns undefined if the selector is not a list of names. */
  names(): string[] | undefined {
    const [first, second] = this.words;
    if (!first || !second || !isName(first) || !(second.kind === 'end' || isComma(second))) return undefined;
    const names: string[] = [];
    do {
      if (!isName(this.word)) throw this.unexpected('the name of a device');
      names.push(this.word.text);
      this.at++;
    } while (this.takesSign(','));
    return names;
  }

  /** Consumes this keyword if it comes next; returns whether it was consumed. */
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
      throw invalid(
        column,
        'a key that starts with a letter and contains letters, digits, _ . and -',
        `"${text}"`,
      );
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

/** Whether a word is a device name. Names that are keys or keywords must be quoted, so that a forgotten operator is still reported. */
function isName({ kind, text }: Word): boolean {
  if (kind === 'quoted') return true;
  return kind === 'word' && !Object.hasOwn(keys, text) && !keywords.has(text.toLowerCase());
}

const isComma = ({ kind, text }: Word) => kind === 'sign' && text === ',';

/** A token in a selector, and the column at which it starts, counted from 1. */
interface Word {
  kind: 'word' | 'quoted' | 'sign' | 'end';
  /** For a quoted token, the text without quotes. */
  text: string;
  column: number;
}

/** Characters that a value may contain without quotes. */
const plain = /[\p{L}\p{N}_.:@/+*?%-]+/uy;

const signs = ['!=', '<=', '>=', '=', '<', '>', '~', '(', ')', ','];
export const keywords: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in', 'has', 'all']);

/** The tokens, including an end token. @throws AIOT_SELECTOR_INVALID */
function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (let i = 0; i < text.length; ) {
    const column = i + 1;
    const letter = String.fromCodePoint(text.codePointAt(i) ?? 0);
    const word = plainAt(text, i);
    const sign = signs.find((each) => text.startsWith(each, i));
    if (/\s/.test(letter)) i++;
    else if (sign !== undefined) {
      words.push({ kind: 'sign', text: sign, column });
      i += sign.length;
    } else if (letter === '"' || letter === "'") {
      const { value, end } = quoted(text, i);
      words.push({ kind: 'quoted', text: value, column });
      i = end;
    } else if (word !== '') {
      words.push({ kind: 'word', text: word, column });
      i += word.length;
    } else
      throw invalid(column, 'a key, an operator or a value (use quotes for other values)', `"${letter}"`);
  }
  return [...words, { kind: 'end', text: '', column: text.length + 1 }];
}

function plainAt(text: string, from: number): string {
  plain.lastIndex = from;
  return plain.exec(text)?.[0] ?? '';
}

/** Reads up to the closing quote; a backslash escapes the next character. */
function quoted(text: string, from: number): { value: string; end: number } {
  let value = '';
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === text[from]) return { value, end: i + 1 };
    if (text[i] === '\\') i++;
    value += text[i] ?? '';
  }
  throw invalid(text.length + 1, `a closing quote for ${text[from]} at column ${from + 1}`, 'the end');
}

function invalid(column: number, expected: string, got: string): AiotError {
  return new AiotError(
    'AIOT_SELECTOR_INVALID',
    `the selector, column ${column}: expected ${expected}, got ${got}`,
  );
}

/** Formats a value for a selector, quoted if necessary. */
export function valueText(value: string): string {
  if (value !== '' && plainAt(value, 0) === value && !keywords.has(value.toLowerCase())) return value;
  return `"${value.replace(/["\\]/g, (each) => `\\${each}`)}"`;
}

/**
 * Whether the whole text matches a pattern in which `*` matches any characters and `?` matches one. Backtracks only to the last `*`, so
 * the number of steps is at most the product of both lengths.
 */
export function matchesGlob(text: string, pattern: string): boolean {
  let at = 0;
  let want = 0;
  let star = -1;
  let from = 0;
  while (at < text.length) {
    if (pattern[want] === '*') {
      star = want++;
      from = at;
    } else if (want < pattern.length && (pattern[want] === '?' || pattern[want] === text[at])) {
      at++;
      want++;
    } else if (star >= 0) {
      want = star + 1;
      at = ++from;
    } else return false;
  }
  while (pattern[want] === '*') want++;
  return want === pattern.length;
}
