import { contract } from '../../../api/contract/contract.js';
import { AiotError } from '../../../core/errors.js';
import type { Routes } from '../parts.js';
import { serve } from '../serve.js';

export const firmwareRoutes: Routes =
  ({ firmware }) =>
  async (app) =>
    serve(app, contract.firmware, {
      list: async ({ query }) => {
        const { entries, next } = await firmware.list(query);
        return { firmware: entries, next };
      },
      versions: ({ params, query }) => firmware.versions(params.name, query),
      next: ({ params }) => firmware.next(params.name),
      push: ({ params, body, who }) => firmware.push(params.name, body.envelope, who),
      get: ({ params }) => firmware.get(params.name, params.version),
      manifest: ({ params, query }) => firmware.manifest(params.name, params.version, query.sequence),
      sign: ({ params, body, who }) => firmware.sign(params.name, params.version, body.envelope, who),
    });

export const configRoutes: Routes =
  ({ configs }) =>
  async (app) =>
    serve(app, contract.configs, {
      list: async ({ query }) => {
        const { entries, next } = await configs.list(query);
        return { configs: entries, next };
      },
      versions: ({ params, query }) => configs.versions(params.name, query),
      next: ({ params }) => configs.next(params.name),
      push: ({ params, body, who }) => configs.push(params.name, body.envelope, who),
      get: ({ params }) => configs.get(params.name, params.version),
      manifest: ({ params, query }) => configs.manifest(params.name, params.version, query.sequence),
      sign: ({ params, body, who }) => configs.sign(params.name, params.version, body.envelope, who),
    });

export const trustRoutes: Routes =
  ({ trust, roots }) =>
  async (app) =>
    serve(app, contract.trust, {
      get: async () => ({ trust: await trust.get() }),
      put: ({ body, who }) => trust.put(body, who),
      chain: () => roots.chain(),
      root: async ({ params: { version } }) => {
        const root = await roots.get(version);
        if (root) return root;
        throw new AiotError('AIOT_NOT_FOUND', `the root ${version} does not exist`, {
          next: "To see the newest root's version, run `aiot trust status`.",
        });
      },
      putRoot: ({ body, who }) => roots.put(body, who),
      timestamp: async () => {
        const timestamp = await roots.timestamp();
        if (timestamp) return timestamp;
        throw new AiotError('AIOT_NOT_FOUND', 'no root assigns a key to timestamps', {
          next: 'To separate the keys, run `aiot trust init --out DIR`.',
        });
      },
      newTimestampKey: ({ who }) => roots.newKey(who),
    });
