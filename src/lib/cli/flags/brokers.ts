import { Flags } from '@oclif/core';
import { credentialsFrom } from '../../stream/credentials.js';
import type { StreamCredentials } from '../../stream/message.js';
import { readSecret } from '../secrets.js';
import { shared } from './shared.js';

/** Who we are to a broker: the same flags for every command that talks to one. */
export const brokerFlags = {
  username: Flags.string({
    summary: 'User at the broker; its password is in --password-file or AIOT_PASSWORD.',
    env: 'AIOT_USERNAME',
    helpValue: 'NAME',
  }),
  'password-file': Flags.string({
    summary: 'File with the password, or - for stdin.',
    env: 'AIOT_PASSWORD_FILE',
    helpValue: 'FILE',
  }),
  'token-file': Flags.string({
    summary: 'File with a token (NATS, HTTP), or - for stdin; or AIOT_STREAM_TOKEN.',
    env: 'AIOT_TOKEN_FILE',
    helpValue: 'FILE',
  }),
  creds: Flags.string({
    summary: "NATS: file of a user's JWT and key (.creds).",
    env: 'AIOT_CREDS',
    helpValue: 'FILE',
  }),
  'nkey-file': Flags.string({
    summary: 'NATS: file with the seed of an NKey (SU…), or - for stdin.',
    env: 'AIOT_NKEY_FILE',
    helpValue: 'FILE',
  }),
  sasl: Flags.option({ options: ['plain', 'scram-sha-256', 'scram-sha-512'] as const })({
    summary: 'Kafka: how name and password are shown [default: plain].',
    env: 'AIOT_SASL',
  }),
  ca: shared.ca,
  cert: shared.cert,
  key: shared.key,
  context: shared.context,
};

interface BrokerFlags {
  username?: string;
  'password-file'?: string;
  'token-file'?: string;
  creds?: string;
  'nkey-file'?: string;
  sasl?: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  ca?: string;
  cert?: string;
  key?: string;
  context?: string;
}

/**
 * What these flags and their environment say, as options of a stream; undefined members are left out.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function brokerOptions(flags: BrokerFlags): Promise<StreamCredentials & { context?: string }> {
  const { username, sasl, context } = flags;
  const options = {
    ...(await credentialsFrom(flags)),
    username,
    password: await readSecret(flags['password-file'], 'AIOT_PASSWORD'),
    token: await readSecret(flags['token-file'], 'AIOT_STREAM_TOKEN'),
    nkey: await readSecret(flags['nkey-file'], 'AIOT_NKEY'),
    sasl,
    context,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
