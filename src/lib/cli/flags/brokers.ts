import { Flags } from '@oclif/core';
import { shellWord } from '../../core/text.js';
import { credentialsFrom } from '../../stream/credentials.js';
import type { StreamCredentials } from '../../stream/message.js';
import { readSecret } from '../secrets.js';
import { shared } from './shared.js';

/** Broker credentials: the same flags for every command that connects to a broker. */
export const brokerFlags = {
  username: Flags.string({
    summary: 'User name for the broker; set the password with --password-file or AIOT_PASSWORD.',
    env: 'AIOT_USERNAME',
    helpGroup: 'CONNECTION',
    helpValue: 'NAME',
  }),
  'password-file': Flags.string({
    summary: 'File with the password, or - for stdin.',
    env: 'AIOT_PASSWORD_FILE',
    helpGroup: 'CONNECTION',
    helpValue: 'FILE',
  }),
  'token-file': Flags.string({
    summary: 'File with a token (NATS, HTTP), or - for stdin; or set AIOT_STREAM_TOKEN.',
    env: 'AIOT_TOKEN_FILE',
    helpGroup: 'CONNECTION',
    helpValue: 'FILE',
  }),
  creds: Flags.string({
    summary: "NATS: file with a user's JWT and key (.creds).",
    env: 'AIOT_CREDS',
    helpGroup: 'CONNECTION',
    helpValue: 'FILE',
  }),
  'nkey-file': Flags.string({
    summary: 'NATS: file with an NKey seed (SU…), or - for stdin.',
    env: 'AIOT_NKEY_FILE',
    helpGroup: 'CONNECTION',
    helpValue: 'FILE',
  }),
  sasl: Flags.option({ options: ['plain', 'scram-sha-256', 'scram-sha-512'] as const })({
    summary: 'Kafka: SASL mechanism for user name and password [default: plain].',
    env: 'AIOT_SASL',
    helpGroup: 'CONNECTION',
  }),
  ca: { ...shared.ca, helpGroup: 'CONNECTION' },
  cert: { ...shared.cert, helpGroup: 'CONNECTION' },
  key: { ...shared.key, helpGroup: 'CONNECTION' },
  context: {
    ...shared.context,
    summary: 'For aiot:/// addresses: context of the platform [default: the current one].',
  },
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

/** The flags with which the user connected, for a suggested command that reads from the same broker. They begin with a space. */
export function brokerWords(flags: BrokerFlags, given: (flag: string) => boolean): string {
  return Object.entries(flags)
    .filter(([name, value]) => Object.hasOwn(brokerFlags, name) && given(name) && typeof value === 'string')
    .map(([name, value]) => ` --${name} ${shellWord(String(value))}`)
    .join('');
}

/**
 * Stream options from these flags and their environment; undefined members are omitted.
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
