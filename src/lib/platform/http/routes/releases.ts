import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import { envelopeSchema } from '../../../formats/manifest/envelope.js';
import { nextVersionSchema, pushRequestSchema, trustSchema } from '../../../registry/api.js';
import { configListSchemas, configVersionSchema } from '../../../registry/config-api.js';
import { firmwareListSchemas, firmwareVersionSchema } from '../../../registry/firmware-api.js';
import { pageQuerySchema } from '../../../registry/page.js';
import { publicKeySchema, trustChainSchema } from '../../../registry/trust.js';
import type { Releases } from '../../releases/releases.js';
import { created } from '../describe.js';
import type { ApiParts, Routes } from '../parts.js';

const named = z.object({ name: z.string() });
const versioned = z.object({ name: z.string(), version: z.coerce.number().int().min(1) });

/** The manifest of this sequence instead of the newest: for rollouts that began with it. */
const manifestQuerySchema = z.object({ sequence: z.coerce.number().int().min(1).optional() });

/** What is released in versions of one blob each. */
interface Kind {
  /** In paths, and of the list in its answer. */
  path: 'firmware' | 'configs';
  /** In words: of one, and at the beginning of a line of all. */
  one: string;
  all: string;
  version: z.ZodType;
  list: z.ZodType;
  versions: z.ZodType;
  of: (parts: ApiParts) => Releases<object>;
}

export const firmwareRoutes = releaseRoutes({
  ...{ path: 'firmware', one: 'firmware', all: 'Firmware', of: ({ firmware }) => firmware },
  ...{ list: firmwareListSchemas.firmware, versions: firmwareListSchemas.versions },
  version: firmwareVersionSchema,
});

export const configRoutes = releaseRoutes({
  ...{ path: 'configs', one: 'configuration', all: 'Configurations', of: ({ configs }) => configs },
  ...{ list: configListSchemas.configs, versions: configListSchemas.versions },
  version: configVersionSchema,
});

function releaseRoutes({ path, one, all, of, version, list, versions }: Kind): Routes {
  return (parts) => async (app) => {
    const releases = of(parts);

    app.get(
      `/${path}`,
      { schema: { summary: `${all}, by name`, querystring: pageQuerySchema, response: { 200: list } } },
      async ({ query }) => {
        const { entries, next } = await releases.list(query);
        return { [path]: entries, next };
      },
    );

    app.get(
      `/${path}/:name`,
      {
        schema: {
          summary: `Versions of one ${one}, newest first`,
          params: named,
          querystring: pageQuerySchema,
          response: { 200: versions },
        },
      },
      ({ params, query }) => releases.versions(params.name, query),
    );

    app.get(
      `/${path}/:name/next`,
      {
        schema: {
          summary: `What to sign next of a ${one}`,
          params: named,
          response: { 200: nextVersionSchema },
        },
      },
      ({ params }) => releases.next(params.name),
    );

    app.post(
      `/${path}/:name/versions`,
      {
        schema: {
          summary: `Push a signed version of a ${one}`,
          params: named,
          body: pushRequestSchema,
          response: { 201: version },
        },
      },
      async ({ params, body, who }, reply) => {
        const card = await releases.push(params.name, body.envelope, who);
        return created(reply, path, card.name, 'versions', card.version).send(card);
      },
    );

    app.get(
      `/${path}/:name/versions/:version`,
      {
        schema: { summary: `One version of a ${one}`, params: versioned, response: { 200: version } },
      },
      ({ params }) => releases.get(params.name, params.version),
    );

    app.get(
      `/${path}/:name/versions/:version/manifest`,
      {
        config: { access: 'devices' },
        schema: {
          summary: `The signed manifest of a ${one}`,
          params: versioned,
          querystring: manifestQuerySchema,
          response: { 200: envelopeSchema },
        },
      },
      ({ params, query }) => releases.manifest(params.name, params.version, query.sequence),
    );

    app.post(
      `/${path}/:name/versions/:version/manifest`,
      {
        schema: {
          summary: `Sign a version of a ${one} anew, with the next sequence`,
          params: versioned,
          body: pushRequestSchema,
          response: { 200: version },
        },
      },
      ({ params, body, who }) => releases.sign(params.name, params.version, body.envelope, who),
    );
  };
}

/** Who may sign what: devices ask for it as well. */
export const trustRoutes: Routes =
  ({ trust, roots }) =>
  async (app) => {
    app.get(
      '/trust',
      {
        config: { access: 'devices' },
        schema: {
          summary: 'Keys that may sign releases',
          response: { 200: z.object({ trust: trustSchema.nullable() }) },
        },
      },
      async () => ({ trust: await trust.get() }),
    );

    app.put(
      '/trust',
      { schema: { summary: 'Set the trust root', body: trustSchema, response: { 200: trustSchema } } },
      ({ body, who }) => trust.put(body, who),
    );

    app.get(
      '/trust/root',
      {
        config: { access: 'devices' },
        schema: {
          summary: 'The newest root, and the keys with which the platform can sign timestamps',
          response: { 200: trustChainSchema },
        },
      },
      () => roots.chain(),
    );

    app.get(
      '/trust/root/:version',
      {
        config: { access: 'devices' },
        schema: {
          summary: 'A root of the chain',
          params: z.object({ version: z.coerce.number().int().min(1) }),
          response: { 200: envelopeSchema },
        },
      },
      async ({ params: { version } }) => {
        const root = await roots.get(version);
        if (root) return root;
        throw new AiotError('AIOT_NOT_FOUND', `there is no root ${version}`, { next: 'aiot trust status' });
      },
    );

    app.post(
      '/trust/root',
      {
        schema: {
          summary: 'Set the next root: signed by the root keys before it and by its own',
          body: envelopeSchema,
          response: { 200: trustChainSchema },
        },
      },
      ({ body, who }) => roots.put(body, who),
    );

    app.get(
      '/trust/timestamp',
      {
        config: { access: 'devices', mayBeMissing: true },
        schema: { summary: 'What is newest, signed for a day', response: { 200: envelopeSchema } },
      },
      async () => {
        const timestamp = await roots.timestamp();
        if (timestamp) return timestamp;
        throw new AiotError('AIOT_NOT_FOUND', 'no root names a key for timestamps', {
          next: 'aiot trust init',
        });
      },
    );

    app.post(
      '/trust/timestamp/keys',
      {
        schema: {
          summary: 'Make another key for timestamps, used once a root names it',
          response: { 200: publicKeySchema },
        },
      },
      ({ who }) => roots.newKey(who),
    );
  };
