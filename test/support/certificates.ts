import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

export interface Certificates {
  /** The path of a file, such as `ca.crt` or `client.key`. */
  path(name: string): string;
  read(name: string): Promise<string>;
  remove(): Promise<void>;
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };

/**
 * Creates certificates, valid for a day, with a library instead of our own code: `ca` with `server` (for 127.0.0.1)
 * and `client`, and `other`, an unknown CA, with its client `stranger`. For each, there is a NAME.crt and a NAME.key.
 * @param names the subjectAltName of all certificates, such as `IP:127.0.0.1,DNS:localhost`
 */
export async function makeCertificates(names = 'IP:127.0.0.1'): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-certificates-'));
  // A broker started as root reads the files as a separate user.
  await chmod(folder, 0o755);
  const path = (name: string) => join(folder, name);
  const validity = { notBefore: new Date(), notAfter: new Date(Date.now() + 24 * 3600 * 1000) };
  const alternatives = names.split(',').map((entry): x509.JsonGeneralName => {
    const [kind = '', value = ''] = entry.split(/:(.*)/);
    return { type: kind.toLowerCase() as 'ip' | 'dns', value };
  });

  async function save(name: string, certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    await writeFile(path(`${name}.crt`), `${certificate.toString('pem')}\n`);
    await writeFile(path(`${name}.key`), `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`, {
      mode: 0o600,
    });
  }
  const newKeys = () => webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);

  async function authority(name: string) {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      ...validity,
      name: `CN=${name}`,
      keys,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    await save(name, certificate, keys);
    return { keys, certificate };
  }

  async function signed(name: string, by: Awaited<ReturnType<typeof authority>>) {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity,
      serialNumber: `01${randomBytes(8).toString('hex')}`,
      subject: `CN=${name}`,
      issuer: by.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: by.keys.privateKey,
      signingAlgorithm,
      extensions: [
        new x509.SubjectAlternativeNameExtension(alternatives),
        await x509.AuthorityKeyIdentifierExtension.create(by.certificate),
      ],
    });
    await save(name, certificate, keys);
  }

  const [ca, other] = [await authority('ca'), await authority('other')];
  await signed('server', ca);
  await signed('client', ca);
  await signed('stranger', other);
  await chmod(path('server.key'), 0o644);
  return {
    path,
    read: (name) => readFile(path(name), 'utf8'),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
