/** The client's side of the platform's API: its bodies, the client that speaks it, and what is done with it in turn. */
export * from './api.js';
export type { BlobDownload } from './blobs.js';
export { createClient, type RegistryClient } from './client.js';
export { clientFor, contextFor, type NamedContext, withClient } from './context.js';
export { type DeployOptions, deployExit, deployModel, deployNews, parseModelReference } from './deploy.js';
export type { WatchOptions } from './rollouts.js';
export type { ClientOptions } from './transport.js';
