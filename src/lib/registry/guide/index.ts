/** A running installation of "The Architect's Guide to the AIoT" as a registry: boards, models, rows to train on, and no more. */
export { createGuideClient, type GuideClient } from './client.js';
export type { GuideListing } from './listing.js';
export { type GuideProvisioned, guideProvisionedSchema, provisionAtGuide } from './provision.js';
