import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { packageRoot } from '../core/folders.js';

/** Values by name. A template refers to them as `<…>`. */
export type Scope = Readonly<Record<string, unknown>>;

const named = /<[\w.-]+>/;

/**
 * Fills a YAML template with values. Values are inserted as data rather than text, so that none can change the structure:
 *
 * - `<a.b>` alone is replaced by that value; `null` omits the entry. In quotes or surrounded by text, the value becomes text.
 * - `$when: a.b` in a map omits the map if the value is false, null or empty. `$when: !a.b` inverts the condition.
 * - `$each: a.b` in an item, an entry or a document repeats it for each element, as `<item>`. Elements of a map are `<item.key>` and
 * `<item.value>`.
 *
 * Comments are preserved. The output is also safe for YAML 1.1 parsers such as Kubernetes': strings that they would read as another type
 * are quoted.
 * @throws Error for an unknown name, which is a fault of the template
 */
export function fillTemplate(text: string, scope: Scope): string {
  const documents = parseAllDocuments(text, { version: '1.1', merge: false, logLevel: 'error' });
  if (!Array.isArray(documents)) return '';
  const filled = documents.flatMap((document) => {
    const [error] = document.errors;
    if (error) throw error;
    const made = copies(document.contents as Node | null, scope).filter((node) => node !== undefined);
    return made.map((node, index) => {
      const own = new Document<Node>(node, { version: '1.1' });
      // The leading comment appears only once, even if a template yields several documents.
      own.commentBefore = index === 0 ? leadOf(document) : null;
      if (index > 0) node.commentBefore = null;
      return own.toString({ lineWidth: 0, directives: false });
    });
  });
  return filled.join('---\n');
}

/** The comments above a document, including those before a leading directive, which is removed. */
function leadOf({ commentBefore, contents }: Document): string | null {
  const [first] = isMap(contents) ? contents.items : [];
  const own = first && isDirective(first) ? (first.key as Scalar).commentBefore : undefined;
  return commentBefore ?? own ?? null;
}

/** The copies of a node: with `$each`, one for each element; otherwise one. */
function copies(node: Node | null, scope: Scope): (Node | undefined)[] {
  return scopesOf(node, scope).map((each) => fill(node, each));
}

function scopesOf(node: unknown, scope: Scope): Scope[] {
  const each = isMap(node) ? takeKey(node, '$each') : undefined;
  return each === undefined ? [scope] : scopesOfEach(each, scope);
}

function scopesOfEach(path: string, scope: Scope): Scope[] {
  const all = valueAt(scope, path);
  const items = Array.isArray(all)
    ? all
    : Object.entries(all as object).map(([key, value]) => ({ key, value }));
  return items.map((item) => ({ ...scope, item }));
}

/** A copy of a node with its values; undefined = the node is omitted. The template's node is not modified. */
function fill(node: Node | null, scope: Scope): Node | undefined {
  if (isMap(node)) return filledMap(node, scope);
  if (isSeq(node)) return filledSeq(node, scope);
  if (!isScalar(node) || typeof node.value !== 'string' || !named.test(node.value)) {
    return (node?.clone() as Node | undefined) ?? undefined;
  }
  const alone = /^<([\w.-]+)>$/.exec(node.value);
  const quoted = node.type === Scalar.QUOTE_DOUBLE || node.type === Scalar.QUOTE_SINGLE;
  if (alone?.[1] !== undefined && !quoted) {
    const value = valueAt(scope, alone[1]);
    if (value === null) return undefined;
    return withComments(
      new Document(value, { version: '1.1', aliasDuplicateObjects: false }).contents as Node,
      node,
    );
  }
  const copy = new Scalar(filledText(node.value, scope));
  if (quoted) copy.type = node.type!;
  return withComments(copy, node);
}

function filledMap(node: YAMLMap, scope: Scope): Node | undefined {
  const when = takeKey(node, '$when');
  if (when !== undefined && !holds(when, scope)) return undefined;
  const copy = node.clone() as YAMLMap;
  copy.items = node.items
    .filter((pair) => !isDirective(pair))
    .flatMap((pair) => scopesOf(pair.value, scope).flatMap((each) => filledPair(pair, each)));
  return copy;
}

function filledPair(pair: Pair, scope: Scope): Pair[] {
  const value = fill(pair.value as Node | null, scope);
  if (value === undefined && pair.value !== null) return [];
  const made = pair.clone();
  const { key } = pair;
  if (isScalar(key) && typeof key.value === 'string' && named.test(key.value)) {
    made.key = withComments(new Scalar(filledText(key.value, scope)), key);
  }
  made.value = value ?? null;
  return [made];
}

function filledSeq(node: YAMLSeq, scope: Scope): Node {
  const copy = node.clone() as YAMLSeq;
  copy.items = node.items.flatMap((item) =>
    copies(item as Node | null, scope).filter((made) => made !== undefined),
  );
  return copy;
}

const isDirective = ({ key }: Pair) => isScalar(key) && (key.value === '$when' || key.value === '$each');

/** The value of a directive, which is not removed from the template. */
function takeKey(node: YAMLMap, name: string): string | undefined {
  const pair = node.items.find(({ key }) => isScalar(key) && key.value === name);
  return isPair(pair) && isScalar(pair.value) ? String(pair.value.value) : undefined;
}

function holds(when: string, scope: Scope): boolean {
  const not = when.startsWith('!');
  const value = valueAt(scope, not ? when.slice(1) : when);
  const empty = Array.isArray(value) ? value.length === 0 : !value;
  return not === empty;
}

function filledText(text: string, scope: Scope): string {
  return text.replaceAll(/<([\w.-]+)>/g, (_, path: string) => String(valueAt(scope, path)));
}

function valueAt(scope: Scope, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => {
    if (value === null) return null;
    if (typeof value !== 'object' || !Object.hasOwn(value as object, name))
      throw new Error(`a template refers to ${path}, which does not exist`);
    return (value as Record<string, unknown>)[name];
  }, scope);
}

function withComments<Made extends Node>(made: Made, { comment, commentBefore, spaceBefore }: Node): Made {
  if (comment != null) made.comment = comment;
  if (commentBefore != null) made.commentBefore = commentBefore;
  if (spaceBefore) made.spaceBefore = true;
  return made;
}

/**
 * Fills a text template, such as a README or a script, with values: `<a.b>` is replaced by that value. Directives are on lines of their
 * own. Lines between `<when a.b>` (or `<when !a.b>`) and `<end>` are included if the condition is true. Lines between `<each a.b>` and
 * `<end>` are repeated for each element, as `<item>`. Values are inserted unchanged, so scripts must be given only validated names.
 * @throws Error for an unknown name, or a directive without an end, which are faults of the template
 */
export function fillText(text: string, scope: Scope): string {
  return filledLines(text.split('\n'), scope).join('\n');
}

const directive = /^<(when|each) (!?[\w.-]+)>$/;

function filledLines(lines: readonly string[], scope: Scope): string[] {
  const filled: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const [, kind, path] = directive.exec(lines[at]!) ?? [];
    if (kind === undefined || path === undefined) {
      filled.push(filledText(lines[at]!, scope));
      continue;
    }
    const end = endOf(lines, at);
    const scopes = kind === 'each' ? scopesOfEach(path, scope) : holds(path, scope) ? [scope] : [];
    for (const each of scopes) filled.push(...filledLines(lines.slice(at + 1, end), each));
    at = end;
  }
  return filled;
}

/** The line that ends the directive at `start`. */
function endOf(lines: readonly string[], start: number): number {
  let depth = 0;
  for (let at = start; at < lines.length; at++) {
    if (directive.test(lines[at]!)) depth++;
    else if (lines[at] === '<end>' && --depth === 0) return at;
  }
  throw new Error(`a template is missing <end> for ${lines[start]}`);
}

/** Reads a file in templates/deploy, which is part of the package. */
export function templateText(path: string): string {
  return readFileSync(join(packageRoot(), 'templates', 'deploy', path), 'utf8');
}
