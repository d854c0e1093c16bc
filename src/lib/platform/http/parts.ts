import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { BlobStore } from '../blobs/store.js';
import type { Broker } from '../broker/broker.js';
import type { Catalogue } from '../journal/catalogue.js';
import type { Audit } from '../services/audit.js';
import type { Births } from '../services/births.js';
import type { Claims } from '../services/claims.js';
import type { Datasets } from '../services/datasets.js';
import type { DesiredStates } from '../services/desired.js';
import type { Devices } from '../services/devices.js';
import type { Enrolment } from '../services/enrolment.js';
import type { Firmware } from '../services/firmware.js';
import type { Labels } from '../services/labels.js';
import type { Models } from '../services/models.js';
import type { Removal } from '../services/removal.js';
import type { Rollouts } from '../services/rollouts.js';
import type { Stages } from '../services/stages.js';
import type { Tokens } from '../services/tokens.js';
import type { Trust } from '../services/trust.js';

export interface PlatformUrls {
  http: string;
  mqtts: string;
  mqtt?: string;
  /** Of the listener for boards. */
  boards?: string;
}

/** What the API's routes call. */
export interface ApiParts {
  audit: Audit;
  births: Births;
  blobs: BlobStore;
  broker: Broker;
  catalogue: Catalogue;
  claims: Claims;
  datasets: Datasets;
  desired: DesiredStates;
  devices: Devices;
  enrolment: Enrolment;
  firmware: Firmware;
  labels: Labels;
  models: Models;
  removal: Removal;
  rollouts: Rollouts;
  stages: Stages;
  tokens: Tokens;
  trust: Trust;
  /** PEM of the CA. */
  ca: string;
  log: Logger;
  /** ms since 1970 */
  started: number;
  /** Known once all listeners are up. */
  urls: () => PlatformUrls;
  version: string;
}

/** A plugin with the routes of one noun, below /api/v1. */
export type Routes = (parts: ApiParts) => FastifyPluginAsyncZod;
