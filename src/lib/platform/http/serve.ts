import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  type Endpoint,
  type Endpoints,
  type Output,
  type ParamsOf,
  paramsOf,
  partsOf,
} from '../../api/contract/endpoint.js';
import type { Reach } from '../access/reach.js';

/** A request whose parts were validated against the contract. */
type Checked<E> =
  E extends Endpoint<infer _Route, infer _Params, infer Query, infer Body, infer _Result, infer _Member>
    ? Omit<FastifyRequest, 'params' | 'query' | 'body'> & {
        params: ParamsOf<E>;
        query: Output<Query>;
        body: Output<Body>;
      }
    : never;

type Answer<E> =
  E extends Endpoint<infer _Route, infer _Params, infer _Query, infer _Body, infer Result, infer _Member>
    ? Result extends undefined
      ? unknown
      : Output<Result> | FastifyReply
    : never;

/** Handlers for a noun's endpoints, by the endpoints' names in the contract. */
export type Handlers<C extends Endpoints> = {
  [K in keyof C]: (request: Checked<C[K]>, reply: FastifyReply) => Answer<C[K]> | Promise<Answer<C[K]>>;
};

/** Registers the routes of a noun as defined in the contract. */
export function serve<C extends Endpoints>(app: FastifyInstance, endpoints: C, handlers: Handlers<C>): void {
  const paths = new Set(Object.values(endpoints).map(({ route }) => route));
  for (const [name, endpoint] of Object.entries(endpoints)) {
    const handle = handlers[name] as (request: unknown, reply: FastifyReply) => unknown;
    const { method, path } = partsOf(endpoint);
    app.route({
      method,
      url: path,
      config: configOf(endpoint),
      schema: schemaOf(endpoint),
      // Fastify's own HEAD route would read the whole GET response.
      ...(paths.has(`HEAD ${path}`) ? { exposeHeadRoute: false } : {}),
      ...(endpoint.largestBody === undefined ? {} : { bodyLimit: endpoint.largestBody }),
      handler: async (request, reply) => {
        const answer = await handle(request, reply);
        if (typeof endpoint.location === 'function' && !reply.sent)
          locate(reply, endpoint.location(answer as never));
        return answer;
      },
    });
  }
}

/** The devices that a requester's rights are limited to; null = all devices. */
export function reachFor(user: FastifyRequest['user']): Reach | null {
  return user?.reach ?? null;
}

/** Makes the response a 201 with the location of the created resource: its path below /api/v1. */
export function locate(reply: FastifyReply, path: readonly (string | number)[]): FastifyReply {
  return reply.status(201).header('location', `/api/v1/${path.map(encodeURIComponent).join('/')}`);
}

function configOf({ access, scope, reach, sends, ownRepeats = false, errors = [], statuses = [] }: Endpoint) {
  return {
    ...(access === undefined ? {} : { access }),
    ...(scope === undefined ? {} : { scope }),
    ...(reach === undefined ? {} : { reach }),
    endless: sends === 'events',
    ownRepeats,
    errors,
    statuses,
  };
}

function schemaOf(endpoint: Endpoint) {
  const { summary, description, query, body, result, status, location } = endpoint;
  const params = paramsOf(endpoint);
  const answer = status ?? (location === undefined ? 200 : 201);
  return {
    summary,
    ...(description === undefined ? {} : { description }),
    ...(params === undefined ? {} : { params }),
    ...(query === undefined ? {} : { querystring: query }),
    ...(body === undefined ? {} : { body }),
    ...(result === undefined ? {} : { response: { [answer]: result } }),
  };
}
