import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { issueText, type Problem } from '../../core/issues.js';
import { nearest } from '../../core/text.js';
import { parseYaml } from '../../core/yaml.js';
import { compileExpression } from '../decode/expression.js';
import { decoderNames } from '../decode/values.js';
import { requireScheme } from '../open.js';
import { spoolState } from '../spool/spool.js';
import { parseStreamUrl, shownUrl } from '../url.js';
import { processorNamed } from './processors.js';
import { type RouteConfig, routeFileSchema, routeSchema, withPreset } from './schema.js';
import type { Route } from './types.js';

/**
 * Reads the routes in a file, in order. Replaces variables, validates everything, and makes paths absolute; paths are
 * relative to the file's folder.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_ROUTE_INVALID (all problems, each with file:line:column)
 */
export async function loadRoutes(file: string, variables: Variables = {}): Promise<Route[]> {
  return parseRoutes(await readText(file), file, { environment: process.env, ...variables });
}

/** Like `loadRoutes`, but takes the file's text. `file` is used in error messages and for relative paths. @throws AIOT_ROUTE_INVALID */
export function parseRoutes(text: string, file: string, variables: Variables = {}): Route[] {
  const { routes } = parseYaml(text, file, routeFileSchema, {
    code: 'AIOT_ROUTE_INVALID',
    prepare: (given) => {
      const filled = fillVariables(given, variables);
      return { value: withPresets(filled.value), problems: filled.problems };
    },
    check: ({ routes: all }) =>
      Object.entries(all).flatMap(([name, one]) => checkRoute(one, ['routes', name])),
  });
  const folder = dirname(resolve(file));
  return Object.entries(routes).map(([name, route]) => absolute({ ...route, name }, folder));
}

/** Validates a route created by a program, for example by `stream bridge`. @throws AIOT_ROUTE_INVALID */
export function routeOf(name: string, given: Record<string, unknown>, folder = process.cwd()): Route {
  const parsed = routeSchema.safeParse(given);
  if (!parsed.success) {
    throw new AiotError('AIOT_ROUTE_INVALID', issueText(parsed.error, 'the route', given));
  }
  const [problem] = checkRoute(parsed.data, []);
  if (problem) {
    throw new AiotError('AIOT_ROUTE_INVALID', `${problem.path.join('.')}: ${problem.message}`);
  }
  return absolute({ ...parsed.data, name }, folder);
}

/** Fills each route's missing fields with the values from its preset. */
function withPresets(value: unknown): unknown {
  const routes = (value as { routes?: unknown } | null)?.routes;
  if (routes === null || typeof routes !== 'object' || Array.isArray(routes)) return value;
  const filled = Object.entries(routes).map(([name, route]) => [name, withPreset(route)]);
  return { ...(value as object), routes: Object.fromEntries(filled) };
}

function absolute(route: Route, folder: string): Route {
  const { spool, onError, decode, window } = route;
  const address = (url: string) => absoluteUrl(url, folder);
  return {
    ...route,
    from: route.from.map(address),
    to: route.to.map(address),
    onError: {
      ...onError,
      ...(onError.deadLetter === undefined ? {} : { deadLetter: address(onError.deadLetter) }),
    } as RouteConfig['onError'],
    decode: decode.schema === undefined ? decode : { ...decode, schema: resolve(folder, decode.schema) },
    ...(spool ? { spool: { ...spool, path: resolve(folder, spool.path) } } : {}),
    ...(window ? { window: { ...window, path: resolve(folder, window.path) } } : {}),
  };
}

/** Makes the path of a URL absolute: `file:readings.csv` becomes `file:///folder/readings.csv`. The part after the `?` is unchanged. */
function absoluteUrl(url: string, folder: string): string {
  const { scheme, path } = parseStreamUrl(url);
  if (!['file', 'pictures'].includes(scheme) || path === '' || path.startsWith('/')) return url;
  const [, before = '', rest = ''] = /^([a-z]+:(?:\/\/)?)(.*)$/is.exec(url) ?? [];
  return `${before.replace(/\/*$/, '')}//${resolve(folder)}/${rest}`;
}

/** The values for `${NAME}`. Explicit settings take precedence over the environment. */
export interface Variables {
  set?: Readonly<Record<string, string>>;
  environment?: Readonly<Record<string, string | undefined>>;
}

const pattern = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

/**
 * Replaces `${NAME}` and `${NAME:-default}` in all strings of a file's values; `$${` stands for `${`. As in a shell, the default is used
 * if the variable is missing or empty. Other uses of `${` are unchanged, because `${…}` groups values in JSONata.
 */
export function fillVariables(
  value: unknown,
  { set = {}, environment = {} }: Variables,
): { value: unknown; problems: Problem[] } {
  const problems: Problem[] = [];
  const given = (name: string) => (Object.hasOwn(set, name) ? set[name] : environment[name]);
  const fill = (text: string, path: PropertyKey[]) =>
    text.replaceAll(pattern, (whole, name: string | undefined, fallback: string | undefined) => {
      if (name === undefined) return '${';
      const found = given(name);
      if (found !== undefined && (found !== '' || fallback === undefined)) return found;
      if (fallback !== undefined) return fallback;
      const near = nearest(name, [...Object.keys(set), ...Object.keys(environment)]);
      const hint = near ? `. Did you mean ${near}?` : '';
      problems.push({
        path,
        message: `the variable ${name} has no value: use --set ${name}=VALUE, the environment, or \${${name}:-default}${hint}`,
      });
      return whole;
    });
  const walk = (node: unknown, path: PropertyKey[]): unknown => {
    if (typeof node === 'string') return fill(node, path);
    if (Array.isArray(node)) return node.map((item, index) => walk(item, [...path, index]));
    if (node !== null && typeof node === 'object') {
      return Object.fromEntries(
        Object.entries(node).map(([name, item]) => [name, walk(item, [...path, name])]),
      );
    }
    return node;
  };
  return { value: walk(value, []), problems };
}

/** Validates addresses, expressions, decoders and processors, which the schema does not cover. */
function checkRoute(route: RouteConfig, path: PropertyKey[]): Problem[] {
  const problems: Problem[] = [];
  const attempt = (at: PropertyKey[], work: () => unknown) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      problems.push({ path: [...path, ...at], message: error.message });
    }
  };
  const address = (at: PropertyKey[], url: string, side: 'source' | 'sink') =>
    attempt(at, () => requireScheme(parseStreamUrl(url), side));
  const expression = (at: PropertyKey[], text: string | undefined) => {
    if (text !== undefined) attempt(at, () => compileExpression(text));
  };
  route.from.forEach((url, index) => {
    address(['from', index], url, 'source');
  });
  route.to.forEach((url, index) => {
    address(['to', index], url, 'sink');
  });
  if (route.onError.deadLetter !== undefined) {
    address(['onError', 'dead-letter'], route.onError.deadLetter, 'sink');
  }
  for (const field of ['where', 'map', 'topic', 'key'] as const) expression([field], route[field]);
  for (const [name, text] of Object.entries(route.headers)) expression(['headers', name], text);
  expression(['window', 'key'], route.window?.key);
  expression(['window', 'time'], route.window?.time);
  expression(['dedupe', 'key'], route.dedupe?.key);
  const { format } = route.decode;
  if (!(decoderNames as readonly string[]).includes(format)) {
    problems.push({
      path: [...path, 'decode'],
      message: `expected one of ${decoderNames.join(', ')}; got ${format}`,
    });
  }
  if (route.through) {
    const { processor } = route.through;
    attempt(['through'], () => processorNamed(processor));
  }
  if (route.each && route.map === undefined) {
    problems.push({
      path: [...path, 'each'],
      message: 'expected a map in the same entry, which produces the messages',
    });
  }
  return problems;
}

export const listedRoutesSchema = z.object({
  file: z.string(),
  routes: z.array(
    z.object({
      name: z.string(),
      /** Addresses without credentials and settings. */
      from: z.array(z.string()),
      to: z.array(z.string()),
      /** Names of the route's steps, such as `where` or `map`. */
      does: z.array(z.string()),
      onError: z.string(),
      tests: z.int(),
      /** Messages waiting on disk, for each sink. */
      spools: z.array(
        z.object({ path: z.string(), messages: z.int(), bytes: z.int(), limit: z.int(), damaged: z.int() }),
      ),
    }),
  ),
});

export type ListedRoutes = z.output<typeof listedRoutesSchema>;

/**
 * Describes the routes in a file and the contents of their spools. Runs nothing.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_ROUTE_INVALID
 */
export async function listRoutes(file: string, variables: Variables = {}): Promise<ListedRoutes> {
  const routes = await loadRoutes(file, variables);
  return {
    file,
    routes: await Promise.all(
      routes.map(async ({ name, from, to, onError, spool, tests, ...route }) => ({
        name,
        from: from.map(shownUrl),
        to: to.map(shownUrl),
        does: [
          ...(['where', 'through', 'window', 'map', 'topic', 'key', 'dedupe'] as const).filter(
            (step) => route[step] !== undefined,
          ),
          ...(Object.keys(route.headers).length > 0 ? ['headers'] : []),
          ...(spool ? ['spool'] : []),
        ],
        onError: onError.policy,
        tests: tests.length,
        spools: spool ? await spoolsOf(spool, to.length) : [],
      })),
    ),
  };
}

async function spoolsOf({ path, limit }: { path: string; limit: number }, sinks: number) {
  const paths = sinks > 1 ? Array.from({ length: sinks }, (_, index) => join(path, String(index))) : [path];
  return Promise.all(
    paths.map(async (each) => {
      const { messages = 0, bytes = 0, damaged = 0 } = (await spoolState(each)) ?? {};
      return { path: each, messages, bytes, limit, damaged };
    }),
  );
}
