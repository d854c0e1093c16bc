/** Events of the platform: their types, the bodies of the API, and the client that follows them. */
export {
  type EventFilter,
  type EventPage,
  type EventQuery,
  eventPageSchema,
  eventQuerySchema,
  eventSchema,
  eventTypeSchema,
  type PlatformEvent,
} from './api.js';
export { type EventsQuery, eventCalls, type FollowOptions } from './calls.js';
export { type TailOptions, tailEvents } from './tail.js';
export { type EventKind, type EventType, eventTypes } from './types.js';
