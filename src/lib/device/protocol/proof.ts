import { X509Certificate } from 'node:crypto';
import * as z from 'zod';
import type { ErrorCode } from '../../core/catalogue.js';
import { sha256Hex, signBytes, verifyBytes } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { deviceName, type Reported, runningSchema, type SignedProof, updateKinds } from './messages.js';

/** The statement that a device signs once it has committed: the payload of a proof. */
export const proofSchema = z.looseObject({
  spec: z.literal('aiot-proof/1'),
  device: deviceName,
  /** The desired release that the device installed. */
  rollout: z.string(),
  kind: z.enum(updateKinds),
  /** The running release. Its digest was computed from the bytes read back from its slot. */
  release: runningSchema,
  /** Result of the release's trial; null if there was none since the device started. */
  golden: z.object({ vectors: z.int().min(0), passed: z.int().min(0) }).nullable(),
  /** How long this release has run without a restart, s. */
  healthyS: z.int().min(0),
  /** Time on the device's clock; 0 = no clock. */
  t: z.int().min(0),
});
export type Proof = z.output<typeof proofSchema>;

/** A device's private key and its certificate, PEM. */
export interface Signer {
  name: string;
  key: string;
  certificate: string;
}

/** Adds a signed proof if the message reports a committed release. @param healthyS run time of that release, s */
export function withProof(reported: Reported, signer: Signer | undefined, healthyS: number): Reported {
  const { state, rollout, golden, t, kind = 'model' } = reported;
  const release = runningIn(reported, kind);
  if (!signer || state !== 'COMMITTED' || rollout === null || !release) return reported;
  const said = { spec: 'aiot-proof/1', device: signer.name, rollout, kind, release, golden, healthyS, t };
  const payload = Buffer.from(JSON.stringify(said));
  const proof = {
    payload: payload.toString('base64'),
    certificate: derOf(signer.certificate),
    sig: signBytes(signer.key, payload),
  };
  return { ...reported, proof };
}

/** The DER in a PEM text, base64. */
function derOf(pem: string): string {
  return pem.replace(/-----[A-Z ]+-----|\s/g, '');
}

/**
 * Verifies the proof in a report. `fingerprints`: of the device's current certificates.
 * @throws AIOT_PROOF_INVALID if the signer is not this device, AIOT_PROOF_MISMATCH if the proof contradicts the report
 */
export function checkProof(
  { device, report, proof }: { device: string; report: Reported; proof: SignedProof },
  fingerprints: readonly (string | null)[],
): Proof {
  const der = Buffer.from(proof.certificate, 'base64');
  if (!fingerprints.includes(sha256Hex(der))) {
    throw refused('AIOT_PROOF_INVALID', `expected the current certificate of ${device}, got another one`);
  }
  const payload = Buffer.from(proof.payload, 'base64');
  if (!verifyBytes(publicKeyIn(der), payload, proof.sig)) {
    throw refused('AIOT_PROOF_INVALID', `expected a signature of ${device}'s key over the payload`);
  }
  const said = parsed(payload);
  const { rollout, kind = 'model' } = report;
  const same = (what: string, expected: unknown, got: unknown) => {
    if (JSON.stringify(expected) === JSON.stringify(got)) return;
    throw refused('AIOT_PROOF_MISMATCH', `${what}: expected ${told(expected)}, got ${told(got)}`);
  };
  same('device', device, said.device);
  same('rollout', rollout, said.rollout);
  same('kind', kind, said.kind);
  same('release', runningIn(report, kind), said.release);
  return said;
}

/** The release that is running according to a report, for this kind. */
function runningIn(reported: Reported, kind: Proof['kind']): z.output<typeof runningSchema> | null {
  const running = { model: reported.model, firmware: reported.firmware?.release, config: reported.config };
  return running[kind] ?? null;
}

/** SPKI DER in base64; empty if the certificate is invalid. */
function publicKeyIn(der: Buffer): string {
  try {
    return new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  } catch {
    return '';
  }
}

function parsed(payload: Buffer): Proof {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    throw refused('AIOT_PROOF_INVALID', 'the payload is not JSON');
  }
  const result = proofSchema.safeParse(value);
  if (result.success) return result.data;
  throw refused('AIOT_PROOF_INVALID', issueText(result.error, 'payload', value));
}

function told(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function refused(code: ErrorCode, message: string): AiotError {
  return new AiotError(code, message);
}
