import { dirname, resolve } from 'node:path';
import { AiotError, issueText, parseYaml, readText } from '../../core/index.js';
import { parseStreamUrl } from '../url.js';
import { checkRoute } from './check.js';
import { withPreset } from './presets.js';
import { type RouteConfig, routeFileSchema, routeSchema } from './schema.js';
import type { Route } from './types.js';
import { fillVariables, type Variables } from './variables.js';

/**
 * The routes of a file, in its order: variables filled in, everything checked, paths made absolute (they are relative to the file's folder).
 * @throws AIOT_FILE_NOT_FOUND, AIOT_ROUTE_INVALID (all that is wrong, each with file:line:column)
 */
export async function loadRoutes(file: string, variables: Variables = {}): Promise<Route[]> {
  return parseRoutes(await readText(file), file, { environment: process.env, ...variables });
}

/** The same of a text. `file` is for messages and relative paths. @throws AIOT_ROUTE_INVALID */
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

/** A route made by a program, such as that of one line of `stream bridge`. @throws AIOT_ROUTE_INVALID */
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

/** What a preset says stands where the route says nothing. */
function withPresets(value: unknown): unknown {
  const routes = (value as { routes?: unknown } | null)?.routes;
  if (routes === null || typeof routes !== 'object' || Array.isArray(routes)) return value;
  const filled = Object.entries(routes).map(([name, route]) => [name, withPreset(route)]);
  return { ...(value as object), routes: Object.fromEntries(filled) };
}

function absolute(route: Route, folder: string): Route {
  const { spool, onError, decode } = route;
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
  };
}

/** `file:readings.csv` → `file:///folder/readings.csv`; what follows the `?` stays. */
function absoluteUrl(url: string, folder: string): string {
  const { scheme, path } = parseStreamUrl(url);
  if (!['file', 'pictures'].includes(scheme) || path === '' || path.startsWith('/')) return url;
  const [, before = '', rest = ''] = /^([a-z]+:(?:\/\/)?)(.*)$/is.exec(url) ?? [];
  return `${before.replace(/\/*$/, '')}//${resolve(folder)}/${rest}`;
}
