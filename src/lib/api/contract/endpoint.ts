import * as z from 'zod';
import type { ErrorCode } from '../../core/catalogue.js';
import type { Role } from './access.js';

/** Request and response of an endpoint. */
interface Details<
  Params extends z.ZodObject | undefined,
  Query extends z.ZodObject | undefined,
  Body extends z.ZodType | undefined,
  Result extends z.ZodType | undefined,
  Member extends string | undefined,
  Takes extends readonly string[] | undefined,
> {
  summary: string;
  description?: string;
  /** Only if a parameter of the path is more than text. */
  params?: Params;
  query?: Query;
  /** JSON. */
  body?: Body;
  /** Schema of its JSON response; absent = `sends`. */
  result?: Result;
  /** Response instead of JSON, or beside it; absent = a file. */
  sends?: 'events' | 'nothing';
  /** Status on success, if it is neither 200 nor, with `location`, 201. */
  status?: 204;
  /** Member of the result that the client returns alone; if the query has `after` and no `limit` is given, from all pages. */
  list?: Member;
  /** Members of the body, or of the query, that client callers pass individually, in this order; absent = as one object. */
  takes?: Takes;
  /** Roles that may call it; absent = viewers for reads, operators for everything else. */
  access?: Access;
  /** Set if any token may call it, however restricted; absent = a restricted one needs a scope that follows from the path. */
  scope?: 'session';
  /** Its errors, beyond those of every endpoint: OpenAPI lists their statuses. */
  errors?: readonly ErrorCode[];
  /** Further HTTP statuses of its responses. */
  statuses?: readonly number[];
  /** Largest body, bytes, if it differs from the default. */
  largestBody?: number;
}

/**
 * One endpoint of the API's contract, and its only description. The platform's routes, the client, the dashboard's calls, OpenAPI and
 * docs/reference/api.md all derive from it.
 */
export interface Endpoint<
  Route extends string = string,
  Params extends z.ZodObject | undefined = z.ZodObject | undefined,
  Query extends z.ZodObject | undefined = z.ZodObject | undefined,
  Body extends z.ZodType | undefined = z.ZodType | undefined,
  Result extends z.ZodType | undefined = z.ZodType | undefined,
  Member extends string | undefined = string | undefined,
  Takes extends readonly string[] | undefined = readonly string[] | undefined,
> extends Details<Params, Query, Body, Result, Member, Takes> {
  /** Method and path below /api/v1: `GET /devices/:name`. */
  route: Route;
  /**
   * Path below /api/v1 of the created resource: the response is 201 with this as its Location (RFC 9110 §15.3.2). A certificate or a secret cannot be
   * retrieved later: its Location is its device. `header`: the handler sets it itself.
   */
  location?: 'header' | ((result: never) => readonly (string | number)[]);
}

/** `devices`: devices, and viewers upward (operators for changes). A role: users with it or a higher one. */
export type Access = 'everybody' | 'devices' | Role;

/** Roles that may call an endpoint: by default viewers for reads, operators for everything else. `Own`: additional values of a caller. */
export function accessOf<Own extends string = never>(
  { access }: { access?: Access | Own | undefined },
  method: string,
): Access | Own {
  return access ?? (method === 'GET' || method === 'HEAD' ? 'viewer' : 'operator');
}

/** A noun's endpoints, by their names in the client. */
export type Endpoints = Readonly<Record<string, Endpoint>>;

/** Defines an endpoint, preserving the types of its parts. */
export function endpoint<
  const Route extends `${Method} /${string}`,
  Params extends z.ZodObject | undefined = undefined,
  Query extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
  Result extends z.ZodType | undefined = undefined,
  const Member extends (keyof Output<Result> & string) | undefined = undefined,
  const Takes extends readonly (keyof (Input<Body> & Input<Query>) & string)[] | undefined = undefined,
>(
  route: Route,
  details: Details<Params, Query, Body, Result, Member, Takes> & {
    /** As in `Endpoint`, but without the type of its arguments. */
    location?: 'header' | ((result: Output<Result>) => readonly (string | number)[]);
  },
): Endpoint<Route, Params, Query, Body, Result, Member, Takes> {
  return { route, ...details };
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Method and path of a route. */
export function partsOf({ route }: Pick<Endpoint, 'route'>): { method: Method; path: string } {
  const [method = '', path = ''] = route.split(' ');
  return { method: method as Method, path };
}

/** Names of a path's parameters, in order. */
export function paramNamesOf(path: string): string[] {
  return path.split('/').flatMap((part) => (part.startsWith(':') ? [part.slice(1)] : []));
}

/** The path with its parameters filled in. */
export function pathOf({ route }: Pick<Endpoint, 'route'>, values: readonly (string | number)[]): string {
  let at = 0;
  return partsOf({ route }).path.replace(/:\w+/g, () => encodeURIComponent(values[at++] ?? ''));
}

/** `?a=1&b=x` from the given values. */
export function queryOf(values: Readonly<Record<string, unknown>> = {}): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value !== undefined) query.set(key, String(value));
  return query.size === 0 ? '' : `?${query}`;
}

/** Schema of a path's parameters. */
export function paramsOf({ route, params }: Pick<Endpoint, 'route' | 'params'>): z.ZodObject | undefined {
  const names = paramNamesOf(partsOf({ route }).path);
  if (params !== undefined || names.length === 0) return params;
  return z.object(Object.fromEntries(names.map((name) => [name, z.string()])));
}

export type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;
export type Input<Schema> = Schema extends z.ZodType ? z.input<Schema> : unknown;

/** Names of a path's parameters, in order. */
export type ParamNames<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? [Name, ...ParamNames<Rest>]
  : Path extends `${string}:${infer Name}`
    ? [Name]
    : [];

/** Types of a path's parameters, by name. */
export type ParamsOf<E> =
  E extends Endpoint<infer Route, infer Params>
    ? Params extends z.ZodObject
      ? z.output<Params>
      : Record<ParamNames<Route>[number], string>
    : never;
