import * as z from 'zod';
import type { ErrorCode } from '../../core/catalogue.js';
import type { Role } from './access.js';

/** Details of an endpoint's request and response. */
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
  /** Schema of the path's parameters; needed only if one of them is not text. */
  params?: Params;
  query?: Query;
  /** Schema of the JSON body. */
  body?: Body;
  /** Schema of the JSON response; absent = see `sends`. */
  result?: Result;
  /** Kind of response instead of JSON or as an alternative to it; absent = a file. */
  sends?: 'events' | 'nothing';
  /** Status of a success without a body. The default is 200, or 201 with `location`. */
  status?: 204;
  /**
   * Member of the result that the client returns instead of the whole result. If the query has `after` and the caller sets no `limit`, the
   * client reads all pages.
   */
  list?: Member;
  /** Members of the body, or of the query, that the client's call takes as separate arguments, in this order; absent = one object. */
  takes?: Takes;
  /** Callers that the endpoint allows; absent = viewers for reads, operators for everything else. */
  access?: Access;
  /**
   * `session`: any token may call the endpoint, however restricted. Absent = a restricted token needs the scope for the endpoint's path.
   */
  scope?: 'session';
  /**
   * How the endpoint treats users whose rights are limited to some devices. `named`: the path names the device, in `:device` or `:name`.
   * `filtered`: the handler considers only their devices. `shared`: it concerns no device. Absent = they cannot call it.
   */
  reach?: ReachRule;
  /** Whether the handler itself carries out a repeated request with the same Idempotency-Key only once. */
  ownRepeats?: boolean;
  /** Error codes of this endpoint, in addition to those of every endpoint. OpenAPI lists their statuses. */
  errors?: readonly ErrorCode[];
  /** Further HTTP statuses of the endpoint's responses. */
  statuses?: readonly number[];
  /** Largest body, bytes, if it differs from the default. */
  largestBody?: number;
}

/**
 * Describes an endpoint. The platform's routes, the client, the dashboard's calls, OpenAPI and docs/reference/api.md are all derived from
 * this description.
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
   * Path below /api/v1 of the created resource. The response has the status 201 and this path as its Location (RFC 9110, 15.3.2). For a
   * certificate or a secret, which cannot be retrieved later, it is the device's path. `header`: the handler sets the header itself.
   */
  location?: 'header' | ((result: never) => readonly (string | number)[]);
}

/**
 * Callers that an endpoint allows. `devices`: devices, plus viewers for reads and operators for changes. A role: users
 * with that role or a higher one.
 */
export type Access = 'everybody' | 'devices' | Role;

export type ReachRule = 'named' | 'filtered' | 'shared';

/**
 * Roles that may call an endpoint: by default viewers for reads, operators for everything else. `Own`: additional values that the caller of
 * this function supports.
 */
export function accessOf<Own extends string = never>(
  { access }: { access?: Access | Own | undefined },
  method: string,
): Access | Own {
  return access ?? (method === 'GET' || method === 'HEAD' ? 'viewer' : 'operator');
}

/** The endpoints of a noun, by the names of the client's methods. */
export type Endpoints = Readonly<Record<string, Endpoint>>;

/** Defines an endpoint, and preserves the types of its parts. */
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
    /** Same as in `Endpoint`, but with the type of the result. */
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
