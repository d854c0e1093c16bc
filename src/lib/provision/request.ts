import { ecdsa, importKeyPair, loadX509 } from './x509.js';

/** A PKCS#10 request (PEM) for a certificate, signed by the key that it is for. `privatePem`: PKCS#8, ECDSA P-256. */
export async function certificateRequest(privatePem: string, name: string): Promise<string> {
  const x509 = await loadX509();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys: await importKeyPair(privatePem),
    signingAlgorithm: ecdsa,
  });
  return `${request.toString('pem')}\n`;
}
