import * as z from 'zod';
import { roles, scopeSchema } from './access.js';
import { time } from './fields.js';

/** POST /session/links: a link into the dashboard, for whoever opens it first. */
export const loginLinkSchema = z.object({
  /** URL with the code, which is used once. */
  url: z.string(),
  expires: time,
});
export type LoginLink = z.output<typeof loginLinkSchema>;

/** POST /session: the code of a link, or a token. */
export const loginSchema = z.union([
  z.strictObject({ code: z.string().max(100) }),
  z.strictObject({ token: z.string().max(100) }),
]);
export type Login = z.output<typeof loginSchema>;

/** GET /session: who is logged in in this browser. The session itself is in a cookie that pages cannot read. */
export const sessionSchema = z.object({
  /** null = nobody. */
  user: z
    .object({
      /** As in events. */
      name: z.string(),
      role: z.enum(roles),
      scopes: z.array(scopeSchema).nullable(),
      expires: time,
      /** To be sent as x-aiot-csrf with all that changes anything. */
      csrf: z.string(),
    })
    .nullable(),
  version: z.string(),
});
export type Session = z.output<typeof sessionSchema>;
