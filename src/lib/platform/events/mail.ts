import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { connect as connectTls } from 'node:tls';
import { AiotError } from '../../core/errors.js';
import { onAbort, withTimeLimit } from '../../core/tasks.js';

export interface Mail {
  from: string;
  to: readonly string[];
  subject: string;
  text: string;
  /** The same for every attempt, so that a repeated mail is recognized as such. */
  id: string;
  /** ms since 1970 */
  date: number;
}

export interface MailServer {
  host: string;
  port: number;
  /** TLS from the start, after STARTTLS, or after STARTTLS only if the server offers it. */
  tls: 'implicit' | 'required' | 'offered';
  username?: string | undefined;
  password?: string | undefined;
  lookup?: LookupFunction | undefined;
  /** A certificate to trust in addition to those of Node.js, as PEM. */
  ca?: string | undefined;
}

const totalMs = 30_000;
/** Maximum length of a line of a reply, and of an encoded line (RFC 5321 4.5.3, RFC 2045 6.8). */
const mostLine = 2048;
const encodedLine = 76;

/**
 * Delivers a mail to a server for submission (SMTP, RFC 5321, with STARTTLS of RFC 3207 and AUTH of RFC 4954).
 * @throws AIOT_ALARM_TARGET with the server's reply; no error contains the password
 */
export async function sendMail(server: MailServer, mail: Mail, signal: AbortSignal): Promise<void> {
  await withTimeLimit(totalMs, signal, async (limit) => {
    const plain = server.tls !== 'implicit';
    let line = new Conversation(await opened(server, null, limit));
    const ended = () => line.socket.destroy();
    const leave = onAbort(limit, ended);
    try {
      await line.reply('220', 'greeting');
      let features = await line.hello();
      if (plain && (features.has('STARTTLS') || server.tls === 'required')) {
        if (!features.has('STARTTLS')) throw refused('the server offers no TLS');
        await line.say('STARTTLS', '220');
        line = new Conversation(await opened(server, line.socket, limit));
        features = await line.hello();
      }
      if (server.username !== undefined) await line.logIn(features, server.username, server.password ?? '');
      await line.say(`MAIL FROM:<${mail.from}>`, '250');
      for (const to of mail.to) await line.say(`RCPT TO:<${to}>`, '25');
      await line.say('DATA', '354');
      await line.say(`${mailText(mail)}\r\n.`, '250', 'the mail');
      await line.say('QUIT', '221').catch(() => {});
    } finally {
      leave();
      line.socket.destroy();
    }
  });
}

/** Opens a connection, or encrypts an existing one. */
function opened(server: MailServer, plain: Socket | null, signal: AbortSignal): Promise<Socket> {
  const { host, port, tls, lookup, ca } = server;
  const trusted = {
    ...(isIP(host) === 0 ? { servername: host } : { host }),
    ...(ca === undefined ? {} : { ca }),
  };
  return new Promise((resolve, reject) => {
    const own = { host, port, ...(lookup ? { lookup } : {}) };
    const socket: Socket =
      plain !== null
        ? connectTls({ socket: plain, ...trusted })
        : tls === 'implicit'
          ? connectTls({ ...own, ...trusted })
          : connect(own);
    const done = onAbort(signal, () => socket.destroy(new Error('aborted')));
    socket.once(plain !== null || tls === 'implicit' ? 'secureConnect' : 'connect', () => {
      done();
      resolve(socket);
    });
    socket.once('error', (error) => {
      done();
      reject(error);
    });
  });
}

/** The lines of an SMTP connection. */
class Conversation {
  private text = '';
  private failure: Error | null = null;
  private wake = () => {};

  constructor(readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.text += chunk;
      this.wake();
    });
    const ended = (error?: Error) => {
      this.failure ??= error instanceof Error ? error : new Error('the server closed the connection');
      this.wake();
    };
    socket.on('error', ended);
    socket.on('close', () => ended());
  }

  async hello(): Promise<Set<string>> {
    const own = /^[\w.-]+$/.test(hostname()) ? hostname() : 'localhost';
    const [, ...lines] = await this.say(`EHLO ${own}`, '250');
    return new Set(lines.flatMap((each) => [each.toUpperCase(), each.toUpperCase().split(' ')[0] ?? '']));
  }

  /** @throws AIOT_ALARM_TARGET */
  async logIn(features: ReadonlySet<string>, username: string, password: string): Promise<void> {
    const methods = [...features].find((each) => each.startsWith('AUTH '))?.split(' ') ?? [];
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    if (methods.includes('PLAIN')) {
      await this.say(`AUTH PLAIN ${base64(`\0${username}\0${password}`)}`, '235', 'the login');
    } else if (methods.includes('LOGIN')) {
      await this.say('AUTH LOGIN', '334');
      await this.say(base64(username), '334', 'the user name');
      await this.say(base64(password), '235', 'the login');
    } else throw refused('the server offers no login with a password');
  }

  /** Sends a line and returns the lines of the reply without their codes. @param what names a line whose text must not be shown */
  async say(text: string, code: string, what = text): Promise<string[]> {
    this.socket.write(`${text}\r\n`);
    return this.reply(code, what);
  }

  async reply(code: string, what: string): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const end = this.text.indexOf('\n');
      if (end < 0) {
        if (this.failure) throw this.failure;
        if (this.text.length > mostLine) throw refused('the server does not speak SMTP');
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        continue;
      }
      const line = this.text.slice(0, end).replace(/\r$/, '');
      this.text = this.text.slice(end + 1);
      if (!/^\d{3}([ -]|$)/.test(line)) throw refused('the server does not speak SMTP');
      lines.push(line.slice(4));
      if (line[3] === '-') continue;
      if (line.startsWith(code)) return lines;
      throw refused(`the server answered ${line.slice(0, 200)} to ${what}`);
    }
  }
}

function refused(reason: string): AiotError {
  return new AiotError('AIOT_ALARM_TARGET', reason);
}

/** Headers and text (RFC 5322, MIME): the text as base64, because it may contain any characters and lines of any length. */
function mailText({ from, to, subject, text, id, date }: Mail): string {
  const domain = from.split('@')[1] ?? 'localhost';
  const body = Buffer.from(text).toString('base64');
  const headers = [
    `Date: ${new Date(date).toUTCString().replace('GMT', '+0000')}`,
    `From: ${from}`,
    `To: ${to.join(', ')}`,
    `Subject: ${encodedWords(subject)}`,
    `Message-ID: <${id}@${domain}>`,
    'Auto-Submitted: auto-generated',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: base64',
  ];
  const lines = body.match(new RegExp(`.{1,${encodedLine}}`, 'g')) ?? [];
  return [...headers, '', ...lines].join('\r\n');
}

/** A header's text as encoded words (RFC 2047), each at most 75 characters long and with whole characters. */
function encodedWords(text: string): string {
  const one = text.replace(/\s+/g, ' ').trim();
  if (/^[\x20-\x7e]{0,60}$/.test(one)) return one;
  const words: string[] = [];
  let part = '';
  for (const character of one) {
    if (Buffer.byteLength(part + character) > 42) {
      words.push(part);
      part = '';
    }
    part += character;
  }
  words.push(part);
  return words.map((word) => `=?utf-8?B?${Buffer.from(word).toString('base64')}?=`).join('\r\n ');
}
