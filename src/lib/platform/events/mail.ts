import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { hostname } from 'node:os';
import type { NodemailerError, SendMailOptions } from 'nodemailer';
import { AiotError } from '../../core/errors.js';
import { onAbort, withTimeLimit } from '../../core/tasks.js';

export interface Mail {
  from: string;
  to: readonly string[];
  subject: string;
  text: string;
  /** ID of the email, the same for every attempt, so that a repeated email is recognized as a duplicate. */
  id: string;
  /** ms since 1970 */
  date: number;
}

export interface MailServer {
  host: string;
  port: number;
  /** `implicit`: TLS from the start. `required`: STARTTLS. `offered`: STARTTLS if the server offers it, otherwise no TLS. */
  tls: 'implicit' | 'required' | 'offered';
  username?: string | undefined;
  password?: string | undefined;
  lookup?: LookupFunction | undefined;
  /** A certificate to trust in addition to those of Node.js, as PEM. */
  ca?: string | undefined;
}

const totalMs = 30_000;
/** Maximum length of a server's reply, bytes. */
const mostReply = 65_536;

/**
 * Submits an email to a server with nodemailer. The connection is opened here, because only the addresses of `lookup` may be used.
 * @returns why some of the recipients will never receive it; null = all will
 * @throws AIOT_ALARM_TARGET with the server's reply; no error contains the password. If the server may accept a recipient later, the email
 * fails as a whole, and a retry reaches the other recipients again with the same id.
 */
export async function sendMail(server: MailServer, mail: Mail, signal: AbortSignal): Promise<string | null> {
  const { createTransport } = await import('nodemailer');
  return withTimeLimit(totalMs, signal, async (limit) => {
    const { host, port, tls, username, password, ca } = server;
    const transport = createTransport({
      ...{ host, port, secure: tls === 'implicit', requireTLS: tls === 'required' },
      ...{ connectionTimeout: totalMs, greetingTimeout: totalMs, socketTimeout: totalMs },
      ...{ maxResponseSize: mostReply, socketCloseTimeout: 0 },
      name: /^[\w.-]+$/.test(hostname()) ? hostname() : 'localhost',
      // Otherwise, a server that offers no login would receive the email without authentication.
      ...(username === undefined ? {} : { auth: { user: username, pass: password ?? '' }, forceAuth: true }),
      tls: { ...(ca === undefined ? {} : { ca }), ...(isIP(host) === 0 ? { servername: host } : {}) },
      getSocket: (_options, done) => {
        opened(server, limit).then(
          (connection) => done(null, { connection }),
          (error) => done(error as Error),
        );
      },
    });
    try {
      const { rejectedErrors = [] } = await transport.sendMail({ ...messageOf(mail), signal: limit });
      const later = rejectedErrors.find(({ permanent }) => permanent !== true);
      if (later) throw later;
      return rejectedErrors.length === 0 ? null : rejectedErrors.map(reasonOf).join('; ');
    } catch (error) {
      throw limit.aborted ? limit.reason : failed(error);
    } finally {
      transport.close();
    }
  });
}

function messageOf({ from, to, subject, text, id, date }: Mail): SendMailOptions {
  return {
    ...{ from, to: [...to], subject: subject.replace(/\s+/g, ' ').trim(), text, date: new Date(date) },
    messageId: `<${id}@${from.split('@')[1] ?? 'localhost'}>`,
    // The text may contain any characters and lines of any length, and `flowed` text would lose its empty lines.
    encoding: 'base64',
    headers: { 'Auto-Submitted': 'auto-generated' },
    // The text contains values that devices have sent, which must not name files or addresses to read.
    ...{ disableFileAccess: true, disableUrlAccess: true },
  };
}

/** Opens a connection without TLS, which nodemailer adds. */
function opened({ host, port, lookup }: MailServer, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ...(lookup ? { lookup } : {}) });
    const done = onAbort(signal, () => socket.destroy(new Error('aborted')));
    socket.once('connect', () => {
      done();
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', (error) => {
      done();
      reject(error);
    });
  });
}

/** Converts an error of nodemailer; connection errors are returned unchanged. */
function failed(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AiotError || !isOfMail(error)) return error;
  return refused(reasonOf(error.rejectedErrors?.[0] ?? error));
}

function isOfMail(error: NodemailerError): error is NodemailerError {
  return error.command !== undefined || error.response !== undefined;
}

/** The server's reply, and the command that it answers. Login commands are not shown, because they may contain the password. */
function reasonOf({ code, response, command = '', message, recipient }: NodemailerError): string {
  if (command === 'STARTTLS' && response !== undefined) return 'the server offers no TLS';
  if (response === undefined) return code === 'EAUTH' ? `the login failed: ${message}` : message;
  const place = command.startsWith('AUTH') ? 'the login' : command;
  const to = recipient === undefined ? place : `RCPT TO:<${recipient}>`;
  return `the server responded ${response.replace(/\s+/g, ' ').slice(0, 200)} to ${to}`;
}

function refused(reason: string): AiotError {
  return new AiotError('AIOT_ALARM_TARGET', reason);
}
