import { basename, join, resolve } from 'node:path';
import {
  type Document,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type YAMLParseError,
} from 'yaml';
import type { z } from 'zod';
import { AiotError } from '../errors/index.js';
import { readBytes } from '../files.js';
import { namePattern } from '../ids.js';
import { crossChecks, type Problem } from './cross-checks.js';
import { type ProjectConfig, projectSchema } from './schema.js';
import { show } from './show.js';

export interface Project {
  /** Absolute folder. */
  dir: string;
  /** Absolute path of aiot.yaml. */
  file: string;
  config: ProjectConfig;
}

/**
 * Reads and checks DIR/aiot.yaml.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID (file:line:column, field, expected, got)
 */
export async function loadProject(dir: string): Promise<Project> {
  const folder = resolve(dir);
  const file = join(folder, 'aiot.yaml');
  const bytes = await readBytes(file).catch((error: unknown) => {
    if (error instanceof AiotError && error.code === 'AIOT_FILE_NOT_FOUND') {
      throw new AiotError('AIOT_PROJECT_NOT_FOUND', `no aiot.yaml in ${folder}`, { cause: error });
    }
    throw error;
  });
  return { dir: folder, file, config: parseProject(bytes.toString('utf8'), file) };
}

/**
 * The project of a folder without aiot.yaml: every default, and the folder's name. Its `file` does not exist.
 */
export function defaultProject(dir: string): Project {
  const folder = resolve(dir);
  const name = basename(folder)
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 64);
  const config = projectSchema.parse({ name: namePattern.test(name) ? name : 'model' });
  return { dir: folder, file: join(folder, 'aiot.yaml'), config };
}

/** @throws AIOT_PROJECT_INVALID; all problems are told, not the first alone. */
export function parseProject(text: string, file: string): ProjectConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const [syntax] = document.errors;
  if (syntax) {
    const { line, col } = lines.linePos(syntax.pos[0]);
    throw new AiotError('AIOT_PROJECT_INVALID', `${file}:${line}:${col}: not YAML: ${reasonOf(syntax)}`);
  }
  const value = plain(document, (offset, reason) => {
    const { line, col } = lines.linePos(offset);
    return new AiotError('AIOT_PROJECT_INVALID', `${file}:${line}:${col}: ${reason}`);
  });
  const result = projectSchema.safeParse(value);
  const problems = result.success
    ? crossChecks(result.data, value)
    : result.error.issues.flatMap((issue) => describe(issue, value));
  if (result.success && problems.length === 0) return result.data;
  const told = problems.map(({ path, message }) => {
    const { line, col } = lines.linePos(offsetOf(document, path));
    return `${file}:${line}:${col}: ${path.join('.') || 'the file'}: ${message}`;
  });
  throw new AiotError('AIOT_PROJECT_INVALID', told.join('\n'));
}

function reasonOf({ code, message }: YAMLParseError): string {
  if (code === 'MULTIPLE_DOCS') return 'expected one document, got a further "---"';
  return message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? message;
}

/**
 * The document as plain values. What a parser accepts and no project needs is refused with its place: an alias without its
 * anchor, aliases within themselves or by the million, and `__proto__` as a name, which objects do not keep.
 */
function plain(document: Document, refuse: (offset: number, reason: string) => AiotError): unknown {
  let aliasAt: number | undefined;
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && key.value === '__proto__')
        throw refuse(key.range?.[0] ?? 0, '__proto__: not a name that can be used');
    },
    Alias(_, alias, path) {
      const offset = alias.range?.[0] ?? 0;
      aliasAt ??= offset;
      const target = alias.resolve(document);
      if (!target) throw refuse(offset, `*${alias.source}: no anchor &${alias.source} stands before it`);
      if (path.includes(target)) throw refuse(offset, `*${alias.source}: stands within its own anchor`);
    },
  });
  try {
    return document.toJS();
  } catch (error) {
    if (aliasAt === undefined) throw error;
    throw refuse(aliasAt, 'its aliases (*) stand for more values than a project can have');
  }
}

function describe(issue: z.core.$ZodIssue, root: unknown): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'not a known field' }));
  }
  if (issue.code === 'invalid_union') {
    const expected = issue.errors.flatMap((options) => options.map(expectation)).join(', or ');
    return [{ path: issue.path, message: `${expected}; got ${show(valueAt(root, issue.path))}` }];
  }
  if (issue.code === 'invalid_key') {
    return [{ path: issue.path, message: `as a name: ${issue.issues.map(expectation).join(', ')}` }];
  }
  const got = show(valueAt(root, issue.path));
  return [{ path: issue.path, message: `${expectation(issue)}; got ${got}` }];
}

/** Zod's sentence without what it got, which is told in our own words. */
function expectation({ message }: { message: string }): string {
  return message.replace(/, received .*$/, '').replace(/^Invalid input: /, '');
}

function valueAt(root: unknown, path: PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      value !== null && typeof value === 'object' ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    root,
  );
}

/** Where the deepest existing part of the path stands; a key is better than its value. */
function offsetOf(document: Document, path: PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const key of path) {
    if (!isMap(node)) break;
    const pair = node.items.find((item) => isPair(item) && String(item.key) === String(key));
    if (!pair) break;
    const range = (pair.key as { range?: [number, number, number] } | null)?.range;
    if (range) offset = range[0];
    node = pair.value;
  }
  return offset;
}
