import type { FastifyRequest } from 'fastify';
import { atLeast, scopeCovers } from '../../../api/contract/access.js';
import { contract } from '../../../api/contract/contract.js';
import { type RolloutCommand, type RolloutNews, rolloutHasEnded } from '../../../api/rollouts/schema.js';
import { AiotError } from '../../../core/errors.js';
import { narrowed } from '../../access/reach.js';
import type { Rollouts } from '../../releases/rollouts.js';
import type { Routes } from '../parts.js';
import { reachFor, serve } from '../serve.js';

/** Interval of the comments that keep the connection alive, ms. */
const heartbeat = 15_000;
/** Interval at which collected changes are sent, ms. */
const pace = 100;

export const rolloutRoutes: Routes =
  ({ rollouts }) =>
  async (app) => {
    type OfOne = Pick<FastifyRequest, 'user'> & { params: { id: string } };
    const within = ({ params, user }: OfOne) => rollouts.requireWithin(params.id, reachFor(user));
    const command = (name: RolloutCommand) => async (request: OfOne & Pick<FastifyRequest, 'who'>) => {
      await within(request);
      return rollouts.command(request.params.id, name, request.who);
    };
    /** The request, with its selector narrowed to the devices that the requester's rights are limited to. */
    const narrow = <Body extends { selector: string }>(body: Body, user: FastifyRequest['user']): Body => ({
      ...body,
      selector: narrowed(reachFor(user), body.selector),
    });
    serve(app, contract.rollouts, {
      list: ({ query, user }) => rollouts.list(query, reachFor(user)),
      get: async (request) => {
        await within(request);
        return rollouts.status(request.params.id);
      },
      devices: async (request) => {
        await within(request);
        return rollouts.devices(request.params.id, request.query);
      },
      plan: ({ body, user }) => rollouts.plan(narrow(body, user), reachFor(user)),
      start: ({ body, who, user }) => {
        if (body.releases.some(({ kind }) => kind === 'settings')) requireSettingsRights(user);
        return rollouts.start(narrow(body, user), who, reachFor(user));
      },
      approve: command('approve'),
      pause: command('pause'),
      resume: command('resume'),
      abort: command('abort'),
      rollback: command('rollback'),
      retry: command('retry'),
      events: async (request, reply) => {
        const { id } = request.params;
        // Looked up before the stream begins, because the response for an unknown rollout is a JSON error.
        await within(request);
        await rollouts.get(id);
        reply.hijack();
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
        const teller = new Teller(
          (text) => reply.raw.write(text),
          () => reply.raw.end(),
        );
        const reach = reachFor(request.user);
        const stop = rollouts.listen(id, (news) => {
          // A device may have left the reach since.
          if (reach && !news.changed.every(({ name }) => reach.has(name))) reply.raw.end();
          else teller.tell(news);
        });
        const beat = setInterval(() => reply.raw.write(': still here\n\n'), heartbeat);
        reply.raw.on('close', () => {
          clearInterval(beat);
          stop();
          teller.stop();
        });
        // Read after listening has begun, so that no change is missed in between.
        teller.tell(await everything(rollouts, id));
      },
    });
  };

/** Settings are not signed like releases, so their rollout needs the same rights as a change of devices' settings. @throws AIOT_NOT_ALLOWED */
function requireSettingsRights(user: FastifyRequest['user']): void {
  const what = 'a rollout of settings requires';
  if (!user || !atLeast(user.role, 'operator'))
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      `${what} the role operator${user ? `; this token has the role ${user.role}` : ''}`,
    );
  if (user.scopes?.some((scope) => scopeCovers(scope, 'devices:write')) === false)
    throw new AiotError(
      'AIOT_NOT_ALLOWED',
      `${what} the scope devices:write; this token has ${user.scopes.join(', ')}`,
    );
}

/** A rollout's state, with the first 1000 of its devices; clients request the other devices separately. */
async function everything(rollouts: Rollouts, id: string): Promise<RolloutNews> {
  const { devices } = await rollouts.devices(id, { limit: 1000 });
  return { rollout: await rollouts.get(id), changed: devices };
}

/** Sends the latest state at a pace that the client can follow, with the devices changed since the previous one. */
class Teller {
  private waiting: RolloutNews | null = null;
  private timer: NodeJS.Timeout | null = null;
  private ended = false;

  constructor(
    private readonly write: (text: string) => void,
    private readonly end: () => void,
  ) {}

  tell(news: RolloutNews): void {
    // This state may have been read before the final state, which was sent in the meantime.
    if (this.ended) return;
    const changed = new Map(this.waiting?.changed.map((device) => [device.name, device]));
    for (const device of news.changed) changed.set(device.name, device);
    this.waiting = { rollout: news.rollout, changed: [...changed.values()] };
    if (rolloutHasEnded(news.rollout)) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), pace);
  }

  stop(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.waiting = null;
  }

  private flush(): void {
    const news = this.waiting;
    this.stop();
    if (news === null) return;
    this.write(`data: ${JSON.stringify(news)}\n\n`);
    this.ended = rolloutHasEnded(news.rollout);
    if (this.ended) this.end();
  }
}
