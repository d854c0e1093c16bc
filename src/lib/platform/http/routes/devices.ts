import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import { deviceActionSchema } from '../../../registry/api.js';
import {
  activationSchema,
  birthReplySchema,
  birthRequestSchema,
  certificateRequestSchema,
  claimRequestSchema,
  claimSchema,
  redeemRequestSchema,
  replaceRequestSchema,
  settleRequestSchema,
} from '../../../registry/device-api.js';
import { deviceSchema, provisionReplySchema, provisionRequestSchema } from '../../../registry/fields.js';
import {
  changedDevicesSchema,
  deviceChangeRequestSchema,
  deviceHistorySchema,
  deviceListQuerySchema,
  deviceListSchema,
  devicePatchSchema,
  deviceTwinSchema,
} from '../../../registry/fleet-api.js';
import { pageQuerySchema } from '../../../registry/page.js';
import { deviceSecretSchema } from '../../../registry/secrets.js';
import { simulatedReplySchema, simulatedRequestSchema } from '../../../registry/simulated-api.js';
import {
  deviceCommandSchema,
  deviceMessagesQuerySchema,
  deviceMessagesSchema,
  deviceReplySchema,
} from '../../../registry/talk-api.js';
import type { Enrolled } from '../../devices/enrolment.js';
import { commandDevice, deviceHistory, deviceMessages, type LiveHub } from '../../devices/talk.js';
import type { Entry } from '../../journal/entry.js';
import { created } from '../describe.js';
import { checkRevision, giveRevision } from '../etags.js';
import type { Routes } from '../parts.js';

const params = z.object({ name: z.string() });
const one = { 200: deviceSchema };

export const deviceRoutes: Routes = (parts) => async (app) => {
  const { desired, devices, fleet, simulated } = parts;

  app.get(
    '/devices',
    {
      schema: {
        summary: 'The devices that a selector matches, by name',
        querystring: deviceListQuerySchema,
        response: { 200: deviceListSchema },
      },
    },
    ({ query }) => fleet.list(query),
  );

  app.post(
    '/devices/actions',
    {
      schema: {
        summary: 'Change many devices, or with dryRun say what that would do',
        body: deviceChangeRequestSchema,
        response: { 200: changedDevicesSchema },
      },
    },
    async ({ body: { names, change, dryRun }, who }) => ({
      devices: await fleet.change(names, change, dryRun, who),
    }),
  );

  app.put(
    '/devices/simulated',
    {
      schema: {
        summary: 'Make devices of a simulation, or give them new secrets',
        body: simulatedRequestSchema,
        response: { 200: simulatedReplySchema },
      },
    },
    ({ body, who }) => simulated.enlist(body, who),
  );

  app.get(
    '/devices/:name',
    { schema: { summary: 'One device', params, response: one } },
    async ({ params }, reply) => {
      const device = devices.info(params.name);
      giveRevision(reply, device.revision);
      return device;
    },
  );

  app.patch(
    '/devices/:name',
    {
      schema: {
        summary: 'Change tags and groups of a device',
        params,
        body: devicePatchSchema,
        response: one,
      },
    },
    async (request, reply) => {
      const { params, body, who } = request;
      const device = await fleet.patch(params.name, body, who, (revision) =>
        checkRevision(request, revision),
      );
      giveRevision(reply, device.revision);
      return device;
    },
  );

  app.delete(
    '/devices/:name',
    { schema: { summary: 'Remove a device that is registered or revoked', params, response: one } },
    (request) => {
      const check = (revision: number) => checkRevision(request, revision);
      return fleet.changeOne(request.params.name, { action: 'remove' }, request.who, check);
    },
  );

  app.post(
    '/devices/:name/state',
    {
      schema: {
        summary: 'Suspend, resume or revoke a device',
        params,
        body: deviceActionSchema,
        response: one,
      },
    },
    ({ params: { name }, body: { action }, who }) => fleet.changeOne(name, { action }, who),
  );

  app.get(
    '/devices/:name/state',
    {
      schema: {
        summary: 'What a device is to run, and what it says that it does',
        params,
        response: { 200: deviceTwinSchema },
      },
    },
    async ({ params: { name } }) => {
      const { reported, lastSeen } = devices.record(name);
      return { desired: await desired.get(name), reported, lastSeen };
    },
  );

  app.get(
    '/devices/:name/history',
    {
      schema: {
        summary: 'What was changed of a device, newest first',
        params,
        querystring: pageQuerySchema,
        response: { 200: deviceHistorySchema },
      },
    },
    ({ params: { name }, query }) => deviceHistory(parts, name, query),
  );
};

const reply = { response: { 201: provisionReplySchema } };

const made = <T extends { device: { name: string } }>(res: FastifyReply, whole: T) =>
  created(res, 'devices', whole.device.name).send(whole);

/** Identities: how devices come by their certificates, and what is signed of their making. */
export const enrolmentRoutes: Routes = (parts) => async (app) => {
  const { births, broker, claims, desired, devices, enrolment, roots, trust, urls, ca } = parts;

  const answer = async ({ device, certificate, fresh }: Enrolled) => {
    if (fresh) await desired.forget(device.name);
    const { http, mqtts } = urls();
    const floor = devices.record(device.name).reported?.floor ?? 0;
    const release = { sequence: 0, floor };
    const root = await roots.newest();
    const whom = { trust: await trust.get(), ...(root && { root }) };
    return { device, certificate, ca, urls: { http, mqtts }, ...whom, release };
  };

  app.post(
    '/devices',
    {
      schema: {
        summary: 'Register a device and sign its certificate request',
        body: provisionRequestSchema,
        ...reply,
      },
    },
    async ({ body: { csr, ...newcomer }, who }, res) =>
      made(res, await answer(await enrolment.provision(newcomer, csr, who))),
  );

  app.post(
    '/devices/:name/certificate',
    {
      config: { access: 'devices' },
      schema: {
        summary: 'Sign the next certificate of a device',
        params,
        body: certificateRequestSchema,
        ...reply,
      },
    },
    async ({ params: { name }, body: { csr, now, latest }, who, device }, res) => {
      if (device !== null && device !== name) {
        throw new AiotError(
          'AIOT_NOT_ALLOWED',
          `the device ${device} may not change the certificate of ${name}`,
        );
      }
      const enrolled = await enrolment.rotate(name, { csr, now, latest }, who);
      if (now) broker.disconnect(name);
      return made(res, await answer(enrolled));
    },
  );

  app.post(
    '/devices/:name/certificate/current',
    {
      schema: {
        summary: 'End the certificate in use: the next one takes its place',
        params,
        body: settleRequestSchema,
        response: { 200: deviceSchema },
      },
    },
    async ({ params: { name }, body: { fingerprint }, who }) => {
      const device = await enrolment.settle(name, fingerprint, who);
      broker.disconnect(name);
      return device;
    },
  );

  app.post(
    '/devices/:name/replace',
    {
      schema: {
        summary: 'Put another board in the place of one',
        params,
        body: replaceRequestSchema,
        ...reply,
      },
    },
    async ({ params: { name }, body: { csr, mac, latest }, who }, res) => {
      const enrolled = await enrolment.replace(name, { csr, mac, latest }, who);
      broker.disconnect(name);
      const whole = await answer(enrolled);
      // The new board has nothing of what the old one reported, and is to be given what that was given.
      await desired.moved(name);
      await devices.unreport(name);
      return made(res, { ...whole, device: devices.info(name) });
    },
  );

  app.post(
    '/claims',
    {
      schema: {
        summary: 'Register a device that will claim its certificate with a one-time token',
        body: claimRequestSchema,
        response: { 201: claimSchema },
      },
    },
    async ({ body: { validMs, ...newcomer }, who }, res) => {
      const { claim, fresh } = await claims.make(newcomer, validMs, who);
      if (fresh) await desired.forget(claim.device.name);
      return made(res, claim);
    },
  );

  app.post(
    '/claims/redeem',
    {
      config: { access: 'everybody' },
      schema: { summary: 'Get a certificate for a one-time token', body: redeemRequestSchema, ...reply },
    },
    async ({ body: { token, csr, mac } }, res) =>
      made(res, await answer(await claims.redeem(token, csr, mac))),
  );

  app.post(
    '/activation',
    {
      config: { access: 'devices' },
      schema: { summary: 'A device says that it is there', response: { 200: activationSchema } },
    },
    async ({ device, who }) => {
      if (device === null) throw new AiotError('AIOT_NOT_ALLOWED', 'expected the certificate of a device');
      await devices.act(device, 'seen', who);
      const {
        certificate: _,
        ca: __,
        ...rest
      } = await answer({
        device: devices.info(device),
        certificate: '',
        fresh: false,
      });
      return rest;
    },
  );

  app.put(
    '/devices/:name/birth',
    {
      schema: {
        summary: 'Store the signed birth certificate of a device',
        params,
        body: birthRequestSchema,
        response: { 200: birthReplySchema },
      },
    },
    ({ params: { name }, body: { envelope }, who }) => births.put(name, envelope, who),
  );

  app.get(
    '/devices/:name/birth',
    { schema: { summary: 'The newest birth certificate', params, response: { 200: birthReplySchema } } },
    ({ params: { name } }) => births.get(name),
  );
};

export const secretRoutes: Routes =
  ({ broker, secrets }) =>
  async (app) => {
    app.post(
      '/devices/:name/secret',
      {
        schema: {
          summary:
            'Make a secret for a device that cannot show a certificate, in the place of the one before',
          params,
          response: { 201: deviceSecretSchema },
        },
      },
      async ({ params: { name }, who }, res) => {
        const secret = await secrets.make(name, who);
        // Who is connected with the one before has to come again.
        broker.disconnect(name);
        return created(res, 'devices', name).send({ device: name, secret, removed: false });
      },
    );

    app.delete(
      '/devices/:name/secret',
      {
        schema: {
          summary: 'Take the secret of a device away',
          params,
          response: { 200: deviceSecretSchema },
        },
      },
      async ({ params: { name }, who }) => {
        const removed = await secrets.remove(name, who);
        if (removed) broker.disconnect(name);
        return { device: name, secret: null, removed };
      },
    );
  };

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
