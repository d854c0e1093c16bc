import type * as z from 'zod';
import { everyPage, type PageQuery } from '../page.js';
import type { Transport } from '../transport.js';
import {
  type Endpoint,
  type Endpoints,
  type Output,
  type ParamNames,
  type ParamsOf,
  paramNamesOf,
  partsOf,
  pathOf,
  queryOf,
} from './endpoint.js';

/** Types of a path's parameters, in order. */
type PathArguments<Names extends readonly string[], Params> = {
  [I in keyof Names]: Names[I] extends keyof Params ? Extract<Params[Names[I]], string | number> : string;
};

/** A query as a caller passes it: undefined members are omitted from the request. */
type Asked<Query extends z.ZodObject> = {
  [K in keyof z.output<Query>]?: z.output<Query>[K] | undefined;
};

/** Arguments for members that are passed individually. */
type OneByOne<Names, Values> = Names extends readonly [infer First extends keyof Values, ...infer Rest]
  ? undefined extends Values[First]
    ? [value?: Values[First], ...OneByOne<Rest, Values>]
    : [value: Values[First], ...OneByOne<Rest, Values>]
  : [];

/** A single argument for the whole object. It is optional if the object has no required members. */
type Whole<Value> = Record<never, never> extends Value ? [value?: Value] : [value: Value];

/** The arguments after the path's arguments: the body if there is one, otherwise the query. */
type Given<Query, Body, Takes> = Body extends z.ZodType
  ? Takes extends readonly string[]
    ? OneByOne<Takes, z.input<Body>>
    : Whole<z.input<Body>>
  : Query extends z.ZodObject
    ? Takes extends readonly string[]
      ? OneByOne<Takes, Asked<Query>>
      : [query?: Asked<Query>]
    : [];

/** Signature of an endpoint's client call: the parameters of its path in order, then its body or query. */
type Call<E> =
  E extends Endpoint<
    infer Route,
    infer _Params,
    infer Query,
    infer Body,
    infer Result,
    infer Member,
    infer Takes
  >
    ? (
        ...given: [
          ...PathArguments<ParamNames<Route extends `${string} ${infer Path}` ? Path : never>, ParamsOf<E>>,
          ...Given<Query, Body, Takes>,
        ]
      ) => Promise<Member extends keyof Output<Result> ? Output<Result>[Member] : Output<Result>>
    : never;

/** The client's calls for a noun. Endpoints that return a file or events have no call. */
export type Calls<C extends Endpoints> = {
  [K in keyof C as C[K] extends Endpoint<string, infer _Params, infer _Query, infer _Body, infer Result>
    ? Result extends z.ZodType
      ? K
      : never
    : never]: Call<C[K]>;
};

/**
 * The client's calls for a noun, derived from its contract. A call throws the errors of the transport's `json`, and the
 * endpoint's own errors.
 */
export function callsOf<C extends Endpoints>(transport: Transport, endpoints: C): Calls<C> {
  const calls = Object.entries(endpoints).map(([name, endpoint]) => [name, callOf(transport, endpoint)]);
  return Object.fromEntries(calls) as Calls<C>;
}

function callOf(transport: Transport, endpoint: Endpoint): (...given: unknown[]) => Promise<unknown> {
  const { method, path } = partsOf(endpoint);
  const { body, query, result, list, takes } = endpoint;
  const count = paramNamesOf(path).length;
  return async (...given) => {
    const at = pathOf(endpoint, given.slice(0, count) as (string | number)[]);
    const rest = takes
      ? Object.fromEntries(takes.map((name, i) => [name, given[count + i]]))
      : ((given[count] ?? {}) as Record<string, unknown>);
    const asked = body === undefined ? rest : {};
    const ask = async (page: PageQuery | undefined) => {
      const place = `${at}${queryOf({ ...page, ...asked })}`;
      return await transport.json(method, place, result as z.ZodType, body && rest);
    };
    if (list === undefined) return await ask(undefined);
    const paged = query?.shape.after !== undefined && asked.limit === undefined;
    if (!paged) return ((await ask(undefined)) as Record<string, unknown>)[list];
    return await everyPage(async (page) => {
      const answer = (await ask(page)) as Record<string, unknown>;
      return { entries: answer[list] as unknown[], next: answer.next as string | null };
    });
  };
}
