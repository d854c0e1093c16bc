import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import {
  deviceCommandSchema,
  deviceMessagesQuerySchema,
  deviceMessagesSchema,
  deviceReplySchema,
} from '../../../registry/index.js';
import type { Entry } from '../../journal/entry.js';
import { commandDevice } from '../../services/device-commands.js';
import { deviceMessages } from '../../services/device-messages.js';
import type { LiveHub } from '../../services/live-hub.js';
import type { Routes } from '../parts.js';

const params = z.object({ name: z.string() });
const heartbeatMs = 15_000;

/** What a device says, as it says it and before, and what it is told to do now. */
export const talkRoutes: Routes =
  ({ broker, devices, live, now, telemetry }) =>
  async (app) => {
    app.get(
      '/devices/:name/messages',
      {
        schema: {
          summary: 'The newest messages of one channel of a device, oldest first',
          params,
          querystring: deviceMessagesQuerySchema,
          response: { 200: deviceMessagesSchema },
        },
      },
      async ({ params: { name }, query }) => {
        devices.record(name);
        return deviceMessages(telemetry, name, query, now());
      },
    );

    app.post(
      '/devices/:name/commands',
      {
        schema: {
          summary: 'Send a command to a device, and wait for its answer',
          params,
          body: deviceCommandSchema,
          response: { 200: deviceReplySchema },
        },
      },
      async ({ params: { name }, body: { command } }) =>
        commandDevice({ broker, devices, live, now }, name, command),
    );

    app.get(
      '/devices/:name/live',
      {
        config: { endless: true },
        schema: {
          summary: 'What a device says from now on, as server-sent events: telemetry, inference, reply, log',
          params,
        },
      },
      async ({ params: { name } }, reply) => {
        devices.record(name);
        reply.hijack();
        streamLive(live, name, reply.raw);
      },
    );
  };

/**
 * Each message is an event with its channel's name. For a client that is too slow nothing is held: what it does not take is left
 * out, and `missed` says how much.
 */
function streamLive(hub: LiveHub, device: string, response: ServerResponse): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.write('retry: 2000\n\n');
  let missed = 0;
  const end = hub.listen(device, ({ channel, at, stream, payload }: Entry) => {
    if (response.writableNeedDrain) {
      missed++;
      return;
    }
    if (missed > 0) response.write(`event: missed\ndata: ${JSON.stringify({ count: missed })}\n\n`);
    missed = 0;
    response.write(`event: ${channel}\ndata: ${JSON.stringify({ at, stream, payload })}\n\n`);
  });
  const beat = setInterval(
    () => response.writableNeedDrain || response.write(': still here\n\n'),
    heartbeatMs,
  );
  response.on('close', () => {
    clearInterval(beat);
    end();
  });
}
