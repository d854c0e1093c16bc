/** The client's side of the platform's API: its bodies, and the client that speaks it. */
export * from './api.js';
