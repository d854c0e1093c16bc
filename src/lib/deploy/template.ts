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

/** What a template's `<…>` can name. */
export type Scope = Readonly<Record<string, unknown>>;

const named = /<[\w.-]+>/;

/**
 * A template of YAML with its values. It is filled as data, never as text, so that no value can become anything but a value:
 *
 * - `<a.b>` alone is that value, whatever it is; `null` leaves the entry out. In quotes, or with text around it, it is text.
 * - `$when: a.b` in a map: the map is left out where that is false, null or empty; `$when: !a.b` the other way round.
 * - `$each: a.b` in an item, an entry or a document: once for each of them, as `<item>`; of a map as `<item.key>` and `<item.value>`.
 *
 * Comments stay. Written for parsers of YAML 1.1 too, which Kubernetes' is: what they would not take for text is quoted.
 * @throws Error a name that there is not: a fault of the template
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
      // Said once of all that one template becomes.
      own.commentBefore = index === 0 ? leadOf(document) : null;
      if (index > 0) node.commentBefore = null;
      return own.toString({ lineWidth: 0, directives: false });
    });
  });
  return filled.join('---\n');
}

/** What stands above a document, also where its first line is a directive, which goes. */
function leadOf({ commentBefore, contents }: Document): string | null {
  const [first] = isMap(contents) ? contents.items : [];
  const own = first && isDirective(first) ? (first.key as Scalar).commentBefore : undefined;
  return commentBefore ?? own ?? null;
}

/** A node with `$each` becomes as many as there are; any other is one. */
function copies(node: Node | null, scope: Scope): (Node | undefined)[] {
  return scopesOf(node, scope).map((each) => fill(node, each));
}

function scopesOf(node: unknown, scope: Scope): Scope[] {
  const each = isMap(node) ? takeKey(node, '$each') : undefined;
  if (each === undefined) return [scope];
  const all = valueAt(scope, each);
  const items = Array.isArray(all)
    ? all
    : Object.entries(all as object).map(([key, value]) => ({ key, value }));
  return items.map((item) => ({ ...scope, item }));
}

/** A new node; undefined = it is left out. The template's own stays as it is. */
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

/** The value of a directive, which stays in the template. */
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
      throw new Error(`a template names ${path}, which there is not`);
    return (value as Record<string, unknown>)[name];
  }, scope);
}

function withComments<Made extends Node>(made: Made, { comment, commentBefore, spaceBefore }: Node): Made {
  if (comment != null) made.comment = comment;
  if (commentBefore != null) made.commentBefore = commentBefore;
  if (spaceBefore) made.spaceBefore = true;
  return made;
}

/** A file of templates/deploy, which comes with aiot. */
export function templateText(path: string): string {
  return readFileSync(join(packageRoot(), 'templates', 'deploy', path), 'utf8');
}
