/** Webhooks: who is told of events by a request. */
export * from './api.js';
export { webhookCalls } from './calls.js';
