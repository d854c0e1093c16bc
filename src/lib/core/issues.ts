import * as z from 'zod';
import { namePattern } from './names.js';
import { nearest } from './text.js';

/** A problem in a value: its path, and a message with the expected and the actual value. */
export interface Problem {
  path: PropertyKey[];
  message: string;
}

type Issue = z.core.$ZodIssue;

interface Issues {
  issues: readonly Issue[];
}

/** Context for a problem's message, beyond the issue itself. */
interface Checked {
  /** The value that was checked, for "got …". */
  value?: unknown;
  /** The schema that the value did not match, used to suggest field names. */
  schema?: z.core.$ZodType;
}

/**
 * The first problem that a schema found, as `field.field: expected …; got …`. `whole` names the value if the problem concerns no single
 * field. Without `value`, the actual value is unknown, and only its type can be reported. With `schema`, an unknown field's message names
 * the similar field.
 */
export function issueText(error: Issues, whole: string, value?: unknown, schema?: z.core.$ZodType): string {
  const [first] = problemsOf(error, { value, ...(schema && { schema }) });
  return `${first?.path.join('.') || whole}: ${first?.message}`;
}

/** All problems that a schema found, in our wording; the only place where Zod's issues become sentences. */
export function problemsOf({ issues }: Issues, checked: Checked = {}): Problem[] {
  return issues.flatMap((issue) => problemsIn(issue, checked));
}

function problemsIn(issue: Issue, { value, schema }: Checked): Problem[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = fieldsAt(schema, path);
    return issue.keys.map((key) => {
      const near = nearest(key, known) ?? elsewhere(key, schema);
      return { path: [...path, key], message: `unknown field${near ? `. Did you mean ${near}?` : ''}` };
    });
  }
  const got = gotOf(issue, value);
  return [
    { path, message: `${expectationOf(issue)}${got === null ? '' : `; got ${got}`}${hintOf(issue, value)}` },
  ];
}

/**
 * Whether an issue has Zod's default message rather than a custom one of the schema. An `invalid_type` message is matched by
 * pattern, because the message ends with the received type, and the issue no longer contains the value.
 */
function isZods(issue: Issue): boolean {
  if (issue.code === 'invalid_type') return /^Invalid input: expected \w+, received /.test(issue.message);
  const theirs = z.config().localeError?.(issue as z.core.$ZodRawIssue);
  return issue.message === (typeof theirs === 'string' ? theirs : theirs?.message);
}

/** The expectation as `expected …`. A message of the schema is used unchanged. */
function expectationOf(issue: Issue): string {
  if (!isZods(issue)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${types[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return `expected ${boundOf('at least', 'more than', issue.minimum, issue)}`;
    case 'too_big':
      return `expected ${boundOf('at most', 'less than', issue.maximum, issue)}`;
    case 'invalid_format':
      return `expected ${formatOf(issue)}`;
    case 'not_multiple_of':
      return `expected a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return `unknown field${issue.keys.length === 1 ? '' : 's'} ${issue.keys.join(', ')}`;
    case 'invalid_union':
      return unionOf(issue);
    case 'invalid_key':
      return `as a name: ${issue.issues.map((each) => expectationOf(each as Issue)).join('; ')}`;
    case 'invalid_element':
      return `an entry: ${issue.issues.map((each) => expectationOf(each as Issue)).join('; ')}`;
    case 'invalid_value':
      return issue.values.length === 1
        ? `expected ${word(issue.values[0])}`
        : `expected one of ${issue.values.map(word).join(', ')}`;
    case 'custom':
      return 'not a valid value';
    default:
      return 'not a valid value';
  }
}

const types: Partial<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  bigint: 'a whole number',
  boolean: 'true or false',
  date: 'a date',
  array: 'a list',
  tuple: 'a list',
  set: 'a list',
  map: 'an object',
  object: 'an object',
  record: 'an object',
  null: 'null',
  undefined: 'nothing',
  never: 'nothing',
  void: 'nothing',
  nan: 'NaN',
};

/** The unit in which a value's size is counted. */
const counted: Partial<Record<string, [one: string, many: string]>> = {
  string: ['character', 'characters'],
  file: ['byte', 'bytes'],
  array: ['entry', 'entries'],
  set: ['entry', 'entries'],
  map: ['entry', 'entries'],
  record: ['field', 'fields'],
  object: ['field', 'fields'],
};

function boundOf(
  inclusive: string,
  exclusive: string,
  bound: number | bigint,
  issue: { origin: string; inclusive?: boolean | undefined; exact?: boolean | undefined },
): string {
  const [one, many] = counted[issue.origin] ?? ['', ''];
  const amount =
    issue.origin === 'date'
      ? new Date(Number(bound)).toISOString()
      : `${bound} ${bound === 1 ? one : many}`.trim();
  return `${issue.exact ? 'exactly' : issue.inclusive === false ? exclusive : inclusive} ${amount}`;
}

const formats: Partial<Record<string, string>> = {
  email: 'an e-mail address',
  url: 'a URL',
  uuid: 'a UUID',
  datetime: 'a date and time such as 2026-11-24T04:00:00Z',
  date: 'a date such as 2026-11-24',
  time: 'a time such as 04:00:00',
  duration: 'a duration such as PT1H30M',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  mac: 'a MAC address',
  cidrv4: 'a range of IPv4 addresses such as 10.0.0.0/8',
  cidrv6: 'a range of IPv6 addresses such as fd00::/8',
  base64: 'Base64 text',
  base64url: 'Base64url text',
  hex: 'hexadecimal digits',
  hostname: 'a host name',
  json_string: 'JSON',
  jwt: 'a JSON Web Token',
  lowercase: 'lower case letters',
  uppercase: 'upper case letters',
};

const aName =
  'a name of at most 64 letters, digits, dots, dashes and underscores that starts and ends with a letter or digit';

function formatOf(issue: Extract<Issue, { code: 'invalid_format' }>): string {
  const { format, prefix, suffix, includes, pattern } = issue as typeof issue &
    Partial<Record<'prefix' | 'suffix' | 'includes', string>>;
  if (format === 'starts_with') return `a string that starts with ${word(prefix)}`;
  if (format === 'ends_with') return `a string that ends with ${word(suffix)}`;
  if (format === 'includes') return `a string that contains ${word(includes)}`;
  if (format === 'regex' && pattern === String(namePattern)) return aName;
  if (format === 'regex') return `a string that matches ${pattern}`;
  return formats[format] ?? `a value of the format ${format}`;
}

function unionOf(issue: Extract<Issue, { code: 'invalid_union' }>): string {
  const { options } = issue as { options?: unknown[] };
  if (options && options.length > 0) return `expected one of ${options.map(word).join(', ')}`;
  // All options are listed. If one of them matches except for a field, the message names that field.
  const each = issue.errors.map((errors) =>
    errors
      .map((inner) => `${inner.path.length > 0 ? `${inner.path.join('.')}: ` : ''}${expectationOf(inner)}`)
      .join(', '),
  );
  return [...new Set(each)].join(', or ').replaceAll(', or expected ', ', or ') || 'not a valid value';
}

/** Returns a word unchanged, and any other value as JSON. */
function word(value: unknown): string {
  if (typeof value === 'string' && /^[\w.+/:@-]+$/.test(value)) return value;
  return typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value));
}

const secret = /(password|passphrase|secret|token|privateKey|private_key)$/i;

/** The actual value as text; null if it is not known or may be a secret. */
function gotOf(issue: Issue, root: unknown): string | null {
  if (issue.path.some((name) => secret.test(String(name)))) return null;
  if (root !== undefined) {
    const value = valueAt(root, issue.path);
    const count = sizeOf(issue, value);
    return count ?? show(value);
  }
  const [, received] = /, received (\S+)$/.exec(isZods(issue) ? issue.message : '') ?? [];
  return received === undefined ? null : (types[received] ?? received);
}

/** The length of a text or list whose length is out of bounds. The value itself would be too long to show, or empty. */
function sizeOf(issue: Issue, value: unknown): string | null {
  if (issue.code !== 'too_small' && issue.code !== 'too_big') return null;
  const names = counted[issue.origin];
  if (!names || (typeof value !== 'string' && !Array.isArray(value))) return null;
  return value.length === 0 ? 'none' : String(value.length);
}

/** Suggests the option that was probably meant; empty if none is similar. */
function hintOf(issue: Issue, root: unknown): string {
  const options =
    issue.code === 'invalid_value'
      ? issue.values
      : issue.code === 'invalid_union' && 'options' in issue
        ? issue.options
        : null;
  const value = root === undefined || !options ? undefined : valueAt(root, issue.path);
  if (typeof value !== 'string' || !Array.isArray(options)) return '';
  const near = nearest(
    value,
    options.filter((each) => typeof each === 'string'),
  );
  return near === undefined ? '' : `. Did you mean ${near}?`;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      value !== null && typeof value === 'object' ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    root,
  );
}

/** Names of the fields that a schema defines at a path; none if it does not list them. */
function fieldsAt(schema: z.core.$ZodType | undefined, path: readonly PropertyKey[]): string[] {
  const inner = schema && unwrapped(schema);
  if (!inner) return [];
  const { def } = inner._zod as unknown as { def: Record<string, unknown> & { type: string } };
  if (def.type === 'union')
    return (def.options as z.core.$ZodType[]).flatMap((option) => fieldsAt(option, path));
  const [first, ...rest] = path;
  const shape = def.type === 'object' ? (def.shape as Record<string, z.core.$ZodType>) : undefined;
  if (first === undefined) return Object.keys(shape ?? {});
  if (shape) return fieldsAt(Object.hasOwn(shape, first) ? shape[String(first)] : undefined, rest);
  if (def.type === 'array') return fieldsAt(def.element as z.core.$ZodType, rest);
  return def.type === 'record' ? fieldsAt(def.valueType as z.core.$ZodType, rest) : [];
}

/** The only field with this name elsewhere in a schema, as `model.train.calibrate`. Fields in lists and records do not count. */
function elsewhere(key: string, schema: z.core.$ZodType | undefined): string | null {
  const found = new Set(schema ? pathsTo(key, schema, []) : []);
  const [only] = found;
  if (only === undefined || found.size > 1) return null;
  return only === key ? `${key} at the top level` : only;
}

function pathsTo(key: string, schema: z.core.$ZodType, path: readonly string[]): string[] {
  const { def } = unwrapped(schema)._zod as unknown as { def: Record<string, unknown> & { type: string } };
  if (def.type === 'union')
    return (def.options as z.core.$ZodType[]).flatMap((option) => pathsTo(key, option, path));
  if (def.type !== 'object') return [];
  return Object.entries(def.shape as Record<string, z.core.$ZodType>).flatMap(([name, field]) => [
    ...(name === key ? [[...path, name].join('.')] : []),
    ...pathsTo(key, field, [...path, name]),
  ]);
}

/** The innermost schema, without wrappers such as optional and default. */
function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  const { def } = schema._zod as unknown as { def: { innerType?: z.core.$ZodType; in?: z.core.$ZodType } };
  const inner = def.innerType ?? def.in;
  return inner ? unwrapped(inner) : schema;
}

/** A value as shown in messages: on one line and shortened. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  // JSON cannot represent .nan, .inf or a bigint.
  const text =
    typeof value === 'number' || typeof value === 'bigint'
      ? String(value)
      : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
