import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { senderFor } from '../../src/lib/platform/events/alarm-messages.js';
import { sendMail } from '../../src/lib/platform/events/mail.js';
import { lookupFor } from '../../src/lib/platform/events/webhook-targets.js';
import { type Certificates, makeCertificates } from '../support/certificates.js';
import { describeReal, python } from '../support/real.js';

/**
 * Mail servers of aiosmtpd: without and with a required login after STARTTLS, and one with TLS from the start. Each mail is printed as Python's e-mail parser reads it, as one line
 * of JSON.
 */
const program = `
import asyncio, json, ssl, sys
from email import message_from_bytes
from email.policy import default
from aiosmtpd.smtp import SMTP, AuthResult

class Inbox:
    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=default)
        print(json.dumps({
            'from': envelope.mail_from, 'to': envelope.rcpt_tos, 'tls': session.ssl is not None,
            'user': session.auth_data, 'subject': mail['subject'], 'id': mail['message-id'], 'date': mail['date'],
            'headerTo': mail['to'], 'text': mail.get_content(), 'defects': [str(d) for d in mail.defects],
            'longest': max(len(line) for line in envelope.content.split(b'\\r\\n')),
        }), flush=True)
        return '250 OK'
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('nobody'):
            return '550 no such user'
        if address.startswith('later'):
            return '450 try again later'
        envelope.rcpt_tos.append(address)
        return '250 OK'

def login(server, session, envelope, mechanism, data):
    if data.login == b'aiot' and data.password == 'p\\u00e4ss'.encode():
        return AuthResult(success=True, auth_data=mechanism)
    return AuthResult(success=False, handled=False)

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    loop = asyncio.get_running_loop()
    closed = lambda mechanisms: SMTP(Inbox(), tls_context=context, require_starttls=True, auth_required=True, authenticator=login, auth_exclude_mechanism=mechanisms, enable_SMTPUTF8=True)
    servers = [
        await loop.create_server(lambda: SMTP(Inbox(), enable_SMTPUTF8=True), '127.0.0.1', 0),
        await loop.create_server(lambda: closed([]), '127.0.0.1', 0),
        await loop.create_server(lambda: closed(['PLAIN']), '127.0.0.1', 0),
        await loop.create_server(lambda: SMTP(Inbox(), enable_SMTPUTF8=True), '127.0.0.1', 0, ssl=context),
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
`;

describeReal('smtp', 'mails of alarms', () => {
  let folder: string;
  let certificates: Certificates;
  let server: ChildProcess;
  let lines: AsyncIterator<string>;
  let ports: [open: number, plain: number, login: number, implicit: number];
  const next = async () => JSON.parse((await lines.next()).value as string);
  const signal = new AbortController().signal;
  const mail = {
    ...{
      from: 'aiot@example.com',
      to: ['ops@example.com', 'me@example.com'],
      id: 'ntf_1',
      date: 1_700_000_000_000,
    },
    subject: `[critical] Öfen 🔥 ${'überhitzt '.repeat(12)}`.trim(),
    text: `.\n..dots\nFrom here\n${'ä'.repeat(2000)}\n`,
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-mail-'));
    certificates = await makeCertificates('DNS:localhost,IP:127.0.0.1');
    await writeFile(join(folder, 'server.py'), program);
    const args = ['server.py', certificates.path('server.crt'), certificates.path('server.key')];
    server = spawn(python('smtp'), args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
    lines = createInterface({ input: server.stdout! })[Symbol.asyncIterator]();
    ports = await next();
  });
  afterAll(async () => {
    server.kill();
    await once(server, 'exit');
    await certificates.remove();
    await rm(folder, { recursive: true, force: true });
  });

  it('are read by aiosmtpd and by the e-mail parser of Python as they were written', async () => {
    await sendMail({ host: '127.0.0.1', port: ports[0], tls: 'offered' }, mail, signal);
    const read = await next();
    expect(read).toMatchObject({
      ...{ from: mail.from, to: mail.to, tls: false, subject: mail.subject, id: '<ntf_1@example.com>' },
      ...{ text: mail.text, headerTo: 'ops@example.com, me@example.com', defects: [] },
      date: 'Tue, 14 Nov 2023 22:13:20 +0000',
    });
    expect(read.longest).toBeLessThanOrEqual(78);
  });

  it('are sent after STARTTLS and a login, by PLAIN or LOGIN', async () => {
    const access = { host: 'localhost', tls: 'required' as const, username: 'aiot', password: 'päss' };
    const trusted = { ...access, ca: await certificates.read('ca.crt') };
    await sendMail({ ...trusted, port: ports[1] }, mail, signal);
    expect(await next()).toMatchObject({ tls: true, user: 'PLAIN', subject: mail.subject });
    await sendMail({ ...trusted, port: ports[2] }, mail, signal);
    expect(await next()).toMatchObject({ tls: true, user: 'LOGIN' });
    // An unknown certificate, and a wrong password, which is not retried.
    await expect(sendMail({ ...access, port: ports[1] }, mail, signal)).rejects.toThrow(/certificate/);
    const wrong = sendMail({ ...trusted, port: ports[1], password: 'hush' }, mail, signal);
    await expect(wrong).rejects.toMatchObject({
      message: expect.stringMatching(/responded 535 .*to the login/),
    });
    await expect(wrong).rejects.not.toMatchObject({ message: expect.stringMatching(/hush|aHVzaA/) });
    // Without TLS, a target that requires it gets nothing.
    const open = sendMail({ ...access, port: ports[0] }, mail, signal);
    await expect(open).rejects.toThrow('the server offers no TLS');
  });

  it('report the reply of a server that rejects a recipient', async () => {
    const to = { ...mail, to: ['nobody@example.com'] };
    const sent = sendMail({ host: '127.0.0.1', port: ports[0], tls: 'offered' }, to, signal);
    await expect(sent).rejects.toThrow(
      'the server responded 550 no such user to RCPT TO:<nobody@example.com>',
    );
  });

  it('reach the other recipients if one does not exist, and are retried if one should be tried later', async () => {
    const open = { host: '127.0.0.1', port: ports[0], tls: 'offered' as const };
    const some = { ...mail, to: ['nobody@example.com', 'ops@example.com'] };
    expect(await sendMail(open, some, signal)).toBe(
      'the server responded 550 no such user to RCPT TO:<nobody@example.com>',
    );
    expect(await next()).toMatchObject({ to: ['ops@example.com'], id: '<ntf_1@example.com>' });
    const later = { ...mail, to: ['later@example.com', 'ops@example.com'] };
    await expect(sendMail(open, later, signal)).rejects.toThrow('450 try again later');
    expect(await next()).toMatchObject({ to: ['ops@example.com'] });
  });

  it('are sent over TLS from the start, and only to the addresses of the lookup', async () => {
    const implicit = { host: 'localhost', port: ports[3], tls: 'implicit' as const };
    const trusted = { ...implicit, ca: await certificates.read('ca.crt') };
    expect(await sendMail(trusted, mail, signal)).toBeNull();
    expect(await next()).toMatchObject({ subject: mail.subject, to: mail.to });
    await expect(sendMail(implicit, mail, signal)).rejects.toThrow(/certificate/);
    const closed = sendMail({ ...trusted, lookup: lookupFor(false) }, mail, signal);
    await expect(closed).rejects.toMatchObject({ code: 'AIOT_WEBHOOK_TARGET' });
  });

  it('end with the signal, and report a server that does not speak SMTP or does not listen', async () => {
    const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
    const other = createServer((socket) => socket.on('error', () => {}).end('SSH-2.0-OpenSSH_9.6\r\n'));
    await Promise.all([once(silent, 'listening'), once(other.listen(0, '127.0.0.1'), 'listening')]);
    const to = (server: Server) => ({
      ...{ host: '127.0.0.1', port: (server.address() as AddressInfo).port, tls: 'offered' as const },
    });
    const ended = new AbortController();
    const sent = sendMail(to(silent), mail, ended.signal);
    setTimeout(() => ended.abort(new Error('the end')), 50);
    await expect(sent).rejects.toThrow('the end');
    await expect(sendMail(to(other), mail, signal)).rejects.toMatchObject({ code: 'AIOT_ALARM_TARGET' });
    const gone = to(other);
    await Promise.all([silent, other].map((each) => new Promise((done) => each.close(done))));
    await expect(sendMail(gone, mail, signal)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('list the incidents of an alarm', async () => {
    const url = `smtp://127.0.0.1:${ports[0]}?from=aiot@example.com&to=ops@example.com`;
    const incidents = [{ incident: 'inc_1', device: 'motor-1', at: mail.date, message: 'x > 80: x=90' }];
    await senderFor(url, { allowPrivate: true, env: {} })(
      {
        ...{ id: 'ntf_2', event: 'raise', alarm: 'hot', severity: 'critical', key: 'aiot/p/hot', open: 1 },
        ...{ next: 'Check the fan.', incidents, at: mail.date },
      },
      signal,
    );
    expect(await next()).toMatchObject({
      ...{ subject: '[critical] hot: motor-1', id: '<ntf_2@example.com>', to: ['ops@example.com'] },
      text: 'motor-1: x > 80: x=90 (2023-11-14T22:13:20.000Z)\n\nCheck the fan.\n',
    });
  });
});
