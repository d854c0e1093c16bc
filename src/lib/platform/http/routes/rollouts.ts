import * as z from 'zod';
import { pageQuerySchema } from '../../../registry/page.js';
import {
  type RolloutNews,
  rolloutCommands,
  rolloutDevicesQuerySchema,
  rolloutDevicesSchema,
  rolloutHasEnded,
  rolloutListSchema,
  rolloutPlanSchema,
  rolloutRequestSchema,
  rolloutSchema,
  rolloutStatusSchema,
} from '../../../registry/rollouts/schema.js';
import type { Rollouts } from '../../releases/rollouts.js';
import { created } from '../describe.js';
import type { Routes } from '../parts.js';

const params = z.object({ id: z.string() });
/** A comment now and then keeps the connection from looking dead, ms. */
const heartbeat = 15_000;
/** Changes that come closer together than that are told in one, ms. */
const pace = 100;

const summaries = {
  approve: 'Let a rollout begin that somebody else has started',
  pause: 'Have nobody else begin',
  resume: 'Go on with a paused rollout',
  abort: 'End a rollout: who has not committed keeps what it runs',
  rollback: 'Have all go back to the release before',
  retry: 'Offer it again to those that did not take it',
} as const;

export const rolloutRoutes: Routes =
  ({ rollouts }) =>
  async (app) => {
    app.get(
      '/rollouts',
      {
        schema: {
          summary: 'Rollouts, newest first',
          querystring: pageQuerySchema,
          response: { 200: rolloutListSchema },
        },
      },
      ({ query }) => rollouts.list(query),
    );

    app.get(
      '/rollouts/:id',
      {
        schema: {
          summary: 'One rollout, and what its devices run',
          params,
          response: { 200: rolloutStatusSchema },
        },
      },
      ({ params }) => rollouts.status(params.id),
    );

    app.get(
      '/rollouts/:id/devices',
      {
        schema: {
          summary: 'The devices of a rollout, by name',
          params,
          querystring: rolloutDevicesQuerySchema,
          response: { 200: rolloutDevicesSchema },
        },
      },
      ({ params, query }) => rollouts.devices(params.id, query),
    );

    app.post(
      '/rollouts/plan',
      {
        schema: {
          summary: 'Who would be in which wave of a rollout; nothing is begun',
          body: rolloutRequestSchema,
          response: { 200: rolloutPlanSchema },
        },
      },
      ({ body }) => rollouts.plan(body),
    );

    app.post(
      '/rollouts',
      {
        schema: { summary: 'Start a rollout', body: rolloutRequestSchema, response: { 201: rolloutSchema } },
      },
      async ({ body, who }, reply) => {
        const rollout = await rollouts.start(body, who);
        return created(reply, 'rollouts', rollout.id).send(rollout);
      },
    );

    for (const command of rolloutCommands) {
      app.post(
        `/rollouts/:id/${command}`,
        { schema: { summary: summaries[command], params, response: { 200: rolloutSchema } } },
        ({ params, who }) => rollouts.command(params.id, command, who),
      );
    }

    app.get(
      '/rollouts/:id/events',
      {
        config: { endless: true },
        schema: {
          summary: 'The rollout at each change, with the devices that changed (server-sent events)',
          params,
        },
      },
      async (request, reply) => {
        const { id } = request.params;
        // An unknown rollout is answered as JSON, so it is looked for before the stream begins.
        await rollouts.get(id);
        reply.hijack();
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
        const teller = new Teller(
          (text) => reply.raw.write(text),
          () => reply.raw.end(),
        );
        const stop = rollouts.listen(id, (news) => teller.tell(news));
        const beat = setInterval(() => reply.raw.write(': still here\n\n'), heartbeat);
        reply.raw.on('close', () => {
          clearInterval(beat);
          stop();
          teller.stop();
        });
        // Read after listening has begun, so that no change falls between the two.
        teller.tell(await everything(rollouts, id));
      },
    );
  };

/** All devices only where they are few: who watches more asks for them. */
async function everything(rollouts: Rollouts, id: string): Promise<RolloutNews> {
  const { devices } = await rollouts.devices(id, { limit: 1000 });
  return { rollout: await rollouts.get(id), changed: devices };
}

/** Tells the latest state at a pace that a reader can follow, and the devices that have changed since it told the last. */
class Teller {
  private waiting: RolloutNews | null = null;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly write: (text: string) => void,
    private readonly end: () => void,
  ) {}

  tell(news: RolloutNews): void {
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
    if (rolloutHasEnded(news.rollout)) this.end();
  }
}
