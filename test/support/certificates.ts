import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** The path of a file, such as `ca.crt` or `client.key`. */
  path(name: string): string;
  read(name: string): Promise<string>;
  remove(): Promise<void>;
}

/**
 * Made by openssl, valid for a day: `ca` with `server` (for 127.0.0.1) and `client`, and `other`, a CA that nobody knows, with
 * `stranger`, a client of that one. Each has NAME.crt and NAME.key. @param names of all of them (subjectAltName)
 */
export async function makeCertificates(names = 'IP:127.0.0.1'): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-certificates-'));
  // A broker that was started by root reads them as a user of its own.
  await chmod(folder, 0o755);
  const path = (name: string) => join(folder, name);
  const openssl = (...flags: string[]) => execFileSync('openssl', flags, { stdio: 'pipe' });
  const made = (name: string) => [
    ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`],
    ...['-keyout', path(`${name}.key`)],
  ];
  const authority = (name: string) =>
    openssl('req', '-x509', ...made(name), '-out', path(`${name}.crt`), '-days', '1');
  await writeFile(path('extensions'), `subjectAltName=${names}\n`);
  const signed = (name: string, by: string) => {
    openssl('req', '-new', ...made(name), '-out', path(`${name}.csr`));
    openssl(
      ...['x509', '-req', '-in', path(`${name}.csr`), '-out', path(`${name}.crt`), '-days', '1'],
      ...['-CA', path(`${by}.crt`), '-CAkey', path(`${by}.key`), '-CAcreateserial'],
      ...['-extfile', path('extensions')],
    );
  };
  authority('ca');
  authority('other');
  signed('server', 'ca');
  signed('client', 'ca');
  signed('stranger', 'other');
  await chmod(path('server.key'), 0o644);
  return {
    path,
    read: (name) => readFile(path(name), 'utf8'),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
