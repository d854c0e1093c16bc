import type { IncomingMessage } from 'node:http';
import { dictionary } from '../../core/index.js';
import type { Header, OutgoingMessage } from '../message.js';
import { mqttHeaders } from '../message.js';

/** Of a connection, not of a message (RFC 9110, 7.6.1), or ours to say; and what tells who somebody is. */
const notCarried =
  /^(connection|content-length|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|authorization|cookie|set-cookie|user-agent|accept|accept-.*|sec-.*|webhook-(id|timestamp|signature)|x-hub-signature(-256)?|aiot-(topic|time|key))$/i;
const token = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;

/** A message's headers that HTTP can carry. */
export function outgoingHeaders(headers: readonly Header[] = []): Record<string, string> {
  const out = dictionary<string>();
  for (const [name, value] of headers) {
    const text = typeof value === 'string' ? value : Buffer.from(value).toString('latin1');
    if (!token.test(name) || notCarried.test(name) || name.toLowerCase() === mqttHeaders.contentType)
      continue;
    if (!/^[\x20-\x7e]*$/.test(text)) continue;
    const key = name.toLowerCase();
    out[key] = out[key] === undefined ? text : `${out[key]}, ${text}`;
  }
  return out;
}

/** What a message is beside its payload. Text that HTTP cannot carry is percent-encoded. */
export function ownHeaders({ topic, time, key }: OutgoingMessage): Record<string, string> {
  return {
    ...(topic === '' ? {} : { 'aiot-topic': encodeURI(topic) }),
    ...(time === undefined ? {} : { 'aiot-time': new Date(time).toISOString() }),
    ...(key === undefined ? {} : { 'aiot-key': encodeURIComponent(Buffer.from(key).toString('utf8')) }),
  };
}

/** The headers of a request that are a message's. */
export function incomingHeaders({ rawHeaders }: IncomingMessage): Header[] {
  const headers: Header[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase();
    if (!notCarried.test(name)) headers.push([name, rawHeaders[i + 1]!]);
  }
  return headers;
}
