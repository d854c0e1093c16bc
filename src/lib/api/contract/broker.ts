import * as z from 'zod';
import { endpoint } from './endpoint.js';

/** Brokers substitute text for their placeholders, and omit values that they lack or leave them empty. */
const text = z.string().nullish();

/** Answer to an external broker, in the form that EMQX 5 and RMQTT read. `ignore`: the user belongs to the broker itself. */
const verdict = z.enum(['allow', 'deny', 'ignore']);

/** POST /broker/auth: a client that connects to an external broker. */
export const brokerAuthSchema = z.object({
  /** Name of the device, `token:ID` for a token, or `local:…` for a user that belongs to the broker itself. */
  username: text,
  /** The user name, or the user name followed by `/` and anything. */
  clientId: text,
  /** Secret of the device, or the token. */
  password: text,
  /** The client's IP address, for which failed attempts are limited. If it is absent, all of the broker's clients share one limit. */
  address: text,
  /** Whether the broker received the password over TLS; if not, only simulated devices are accepted. */
  tls: z.union([z.boolean(), z.string()]).nullish(),
  /** The verified client certificate, PEM. */
  certificate: text,
  /** The common name of a client certificate that the broker has verified, if it cannot send the certificate. */
  commonName: text,
});
export type BrokerAuth = z.input<typeof brokerAuthSchema>;

export const brokerAuthResultSchema = z.object({
  result: verdict,
  /** Always false: every publish and subscription is checked. */
  is_superuser: z.boolean(),
  superuser: z.boolean(),
  /** When the client's token expires, seconds since 1970. */
  expire_at: z.int().optional(),
});
export type BrokerAuthResult = z.output<typeof brokerAuthResultSchema>;

/** POST /broker/acl: a client that publishes or subscribes. */
export const brokerAclSchema = z.object({
  /** The user name with which the client was admitted. */
  username: text,
  address: text,
  /** `publish` or `subscribe`; RMQTT sends 2 for publish and 1 for subscribe. */
  action: text,
  /** Topic of a publish, or filter of a subscription. */
  topic: text,
});
export type BrokerAcl = z.input<typeof brokerAclSchema>;

export const brokerAclResultSchema = z.object({ result: verdict });
export type BrokerAclResult = z.output<typeof brokerAclResultSchema>;

const failsSafe = 'If the request is malformed or the platform fails, the response is `deny`.';

/** Authorization requests from external brokers. The token needs the scope `broker:authorize`, or no restriction. */
export const broker = {
  auth: endpoint('POST /broker/auth', {
    summary: 'Whether a client may connect to an external broker',
    description: failsSafe,
    body: brokerAuthSchema,
    result: brokerAuthResultSchema,
  }),
  acl: endpoint('POST /broker/acl', {
    summary: 'Whether a client of an external broker may publish or subscribe',
    description: failsSafe,
    body: brokerAclSchema,
    result: brokerAclResultSchema,
  }),
};
