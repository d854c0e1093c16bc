import * as z from 'zod';
import { liveFigures } from '../../../fleet/live.js';
import { envelopeSchema } from '../../../formats/manifest/envelope.js';
import {
  type LiveFigures,
  listSchemas,
  liveSchema,
  manifestRequestSchema,
  modelVersionSchema,
  nextVersionSchema,
  pushRequestSchema,
  removedModelSchema,
  stageRequestSchema,
} from '../../../registry/api.js';
import { pageQuerySchema } from '../../../registry/page.js';
import type { Labels } from '../../datasets/labels.js';
import type { Telemetry } from '../../journal/telemetry.js';
import type { Models } from '../../releases/models.js';
import { created } from '../describe.js';
import type { Routes } from '../parts.js';

const number = z.coerce.number().int().min(1);
const named = z.object({ name: z.string() });
const versioned = z.object({ name: z.string(), version: number });

export const modelRoutes: Routes = (parts) => async (app) => {
  const { models, removal, stages } = parts;

  app.get(
    '/models',
    {
      schema: {
        summary: 'Models, by name',
        querystring: pageQuerySchema,
        response: { 200: listSchemas.models },
      },
    },
    ({ query }) => models.list(query),
  );

  app.get(
    '/models/:name',
    {
      schema: {
        summary: 'Versions, newest first',
        params: named,
        querystring: pageQuerySchema,
        response: { 200: listSchemas.versions },
      },
    },
    ({ params, query }) => models.versions(params.name, query),
  );

  app.get(
    '/models/:name/next',
    { schema: { summary: 'What to sign next', params: named, response: { 200: nextVersionSchema } } },
    ({ params }) => models.next(params.name),
  );

  app.post(
    '/models/:name/versions',
    {
      schema: {
        summary: 'Push a signed version',
        params: named,
        body: pushRequestSchema,
        response: { 201: modelVersionSchema },
      },
    },
    async ({ params, body, who }, reply) => {
      const card = await models.push(params.name, body.envelope, who);
      return created(reply, 'models', card.name, 'versions', card.version).send(card);
    },
  );

  app.get(
    '/models/:name/versions/:version',
    { schema: { summary: 'One version', params: versioned, response: { 200: modelVersionSchema } } },
    ({ params }) => models.get(params.name, params.version),
  );

  app.get(
    '/models/:name/versions/:version/live',
    {
      schema: {
        summary: 'Inferences counted against labels',
        params: versioned,
        response: { 200: liveSchema },
      },
    },
    ({ params }) => liveOf(parts, params.name, params.version),
  );

  app.post(
    '/models/:name/versions/:version/stage',
    {
      schema: {
        summary: 'Promote or demote a version',
        params: versioned,
        body: stageRequestSchema,
        response: { 200: modelVersionSchema },
      },
    },
    ({ params, body, who }) => stages.move(params.name, params.version, body, who),
  );

  app.delete(
    '/models/:name/versions/:version',
    {
      schema: {
        summary: 'Remove a version that nobody uses',
        params: versioned,
        response: { 200: removedModelSchema },
      },
    },
    ({ params, who }) => removal.remove(params.name, params.version, who),
  );

  app.get(
    '/manifests/:sequence',
    {
      config: { access: 'devices' },
      schema: {
        summary: 'A signed manifest',
        params: z.object({ sequence: number }),
        response: { 200: envelopeSchema },
      },
    },
    ({ params }) => models.manifest(params.sequence),
  );

  app.post(
    '/manifests',
    {
      schema: {
        summary: 'Sign a version anew, with the next sequence',
        body: manifestRequestSchema,
        response: { 201: modelVersionSchema },
      },
    },
    async ({ body, who }, reply) => {
      const card = await models.resign(body.envelope, who);
      return created(reply, 'manifests', card.sequence).send(card);
    },
  );
};

/** A version's inferences counted against the labels as they are now. @throws AIOT_NOT_FOUND */
async function liveOf(
  parts: { models: Models; telemetry: Telemetry; labels: Labels },
  name: string,
  version: number,
): Promise<LiveFigures> {
  const info = await parts.models.info(name, version);
  const { classes, labels } = info.kind === 'model' ? info : { classes: [], labels: {} };
  const given = await parts.labels.all();
  const classOf = new Map(Object.entries(labels).flatMap(([to, from]) => from.map((label) => [label, to])));
  return liveFigures(await parts.telemetry.live(name, version), classes, (device, recording) => {
    const label = given.get(`${device}/${recording}`);
    return label === undefined ? null : (classOf.get(label) ?? label);
  });
}
