import { auditQuerySchema, listSchemas } from '../api.js';
import { eventPageSchema, eventQuerySchema } from '../events/api.js';
import { auditLogQuerySchema, auditLogSchema } from '../events/audit.js';
import { endpoint } from './endpoint.js';

export const events = {
  page: endpoint('GET /events', {
    reach: 'filtered',
    summary: 'Changes in order: server-sent events, or a page with Accept: application/json',
    query: eventQuerySchema,
    result: eventPageSchema,
    sends: 'events',
    errors: ['AIOT_EVENTS_GONE'],
  }),
};

export const audit = {
  /** Returns entries, newest first. `subject` is a version such as `har@3`, or a name, which selects all of its versions. */
  list: endpoint('GET /audit', {
    summary: 'Audit log, newest first',
    query: auditQuerySchema,
    result: listSchemas.audit,
    list: 'entries',
  }),
  log: endpoint('GET /audit/log', {
    summary: 'Sealed audit log, oldest first, or its newest entries',
    query: auditLogQuerySchema,
    result: auditLogSchema,
  }),
};
