import * as z from 'zod';
import { envelopeSchema } from '../../formats/manifest/envelope.js';
import {
  listSchemas,
  liveSchema,
  manifestRequestSchema,
  modelVersionSchema,
  nextVersionSchema,
  pushRequestSchema,
  removedModelSchema,
  stageRequestSchema,
} from '../api.js';
import { pageQuerySchema } from '../page.js';
import { endpoint } from './endpoint.js';

const number = z.coerce.number().int().min(1);
const params = z.object({ name: z.string(), version: number });

export const models = {
  list: endpoint('GET /models', {
    reach: 'shared',
    summary: 'Models, by name',
    query: pageQuerySchema,
    result: listSchemas.models,
    list: 'models',
  }),
  /** Returns versions, newest first. */
  versions: endpoint('GET /models/:name', {
    reach: 'shared',
    summary: 'Versions, newest first',
    query: pageQuerySchema,
    result: listSchemas.versions,
    list: 'versions',
  }),
  /** Returns the version and the sequence number for the operator's next manifest of this model. */
  next: endpoint('GET /models/:name/next', {
    reach: 'shared',
    summary: 'Values to sign for the next version',
    result: nextVersionSchema,
  }),
  /** Pushes a version. The bundle's blob must already exist. */
  push: endpoint('POST /models/:name/versions', {
    reach: 'shared',
    summary: 'Push a signed version',
    access: 'ci',
    body: pushRequestSchema,
    takes: ['envelope'],
    result: modelVersionSchema,
    location: ({ name, version }) => ['models', name, 'versions', version],
    errors: ['AIOT_SIGNATURE_INVALID', 'AIOT_VERSION_CONFLICT'],
  }),
  get: endpoint('GET /models/:name/versions/:version', {
    reach: 'shared',
    summary: 'One version',
    params,
    result: modelVersionSchema,
  }),
  live: endpoint('GET /models/:name/versions/:version/live', {
    summary: "Live metrics: devices' predictions compared with labels",
    params,
    result: liveSchema,
  }),
  /** Promotes or demotes a version. A `reason` overrides a failed gate. */
  promote: endpoint('POST /models/:name/versions/:version/stage', {
    summary: 'Promote or demote a version',
    params,
    body: stageRequestSchema,
    result: modelVersionSchema,
    errors: ['AIOT_GATE_FAILED', 'AIOT_MODEL_UNTRUSTED'],
  }),
  remove: endpoint('DELETE /models/:name/versions/:version', {
    summary: 'Remove an unused model version',
    params,
    result: removedModelSchema,
    errors: ['AIOT_MODEL_IN_USE'],
  }),
};

export const manifests = {
  get: endpoint('GET /manifests/:sequence', {
    reach: 'shared',
    summary: 'A signed manifest',
    access: 'devices',
    params: z.object({ sequence: number }),
    result: envelopeSchema,
  }),
  /** Stores a newly signed manifest, with the next sequence number, for an existing version. */
  post: endpoint('POST /manifests', {
    reach: 'shared',
    summary: 'Sign a version again, with the next sequence number',
    access: 'ci',
    body: manifestRequestSchema,
    takes: ['envelope'],
    result: modelVersionSchema,
    location: ({ sequence }) => ['manifests', sequence],
    errors: ['AIOT_SIGNATURE_INVALID', 'AIOT_VERSION_CONFLICT'],
  }),
};
